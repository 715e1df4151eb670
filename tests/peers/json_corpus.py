"""Write the corpus that transport/tests/json.rs checks: texts, and what Python's json.loads makes of them.

    .build/venv/bin/python tests/peers/json_corpus.py > transport/tests/data/json_corpus.json

Each row is [text, value]: value is null where Python refuses, else the value with its types spelled out:
["int", digits], ["float", repr], ["str", text], ["bool", b], ["null"], ["list", [...]], ["dict", [[key, value], ...]].
Lone surrogates in strings are written as U+FFFD, because the rows could not be UTF-8 otherwise.
"""

import json
import random
import re
import sys

BY_HAND = r'''
null|true|false|nul|True|None||  | null |null null|[]|{}|[ ]|{ }|[1]|[1,]|[,1]|[1 2]|[1,,2]|[|]|{|}|[}|{]|[[]|[]]
NaN|nan|-NaN|+NaN|NAN|Infinity|-Infinity|+Infinity|-infinity|Inf|-Inf|Infinit|-Infinit|Infinity1|NaN1|[NaN,Infinity,-Infinity]
{"a":NaN}|{"a":-Infinity,"b":[NaN]}|{NaN:1}|[NaN|[NaNNaN]|[- Infinity]
0|-0|-0.0|0.0|00|01|-01|+1|1.|.1|-.1|1.0|1e5|1E5|1e+5|1e-5|1e|1e+|1.e5|0e0|-|--1|1-|0x10|1_000|1e1.5|1.2.3|-1|1 |1,2|- 1
9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809|18446744073709551615|18446744073709551616
340282366920938463463374607431768211455|340282366920938463463374607431768211456|-170141183460469231731687303715884105728
123456789012345678901234567890|-123456789012345678901234567890|1e400|-1e400|1e-400|1e308|1.7976931348623157e308|1.7976931348623159e308
5e-324|2e-324|0.1|0.30000000000000004|123456.789e3|2.2250738585072014e-308|9007199254740993|9007199254740993.0|1e23|8.41e21
""|"a"|"|"a|a"|'a'|"\"|"\\"|"\""|"\/"|"\b\f\n\r\t"|"\a"|"\x41"|"\'"|"\0"|"\u"|"\u1"|"\u12"|"\u123"|"\u00e9"|"\u00E9"|"\u00g9"|"\u+123"|"\U00e9"
"\ud800"|"\udc00"|"\ud83d\ude00"|"\ud83d\ud83d\ude00"|"\ude00\ud83d"|"\ud83dx"|"\ud83d\n"|"\ud83d\u0041"|"\ud83d\u"|"a\ud800b\udfffc"|"\uD83D\uDE00"|"\ud800\ud800"
"é"|"😀"|"\u0000"|"\u007f"|"\u2028"|"\uffff"|"\ufffe"|"/"|"a\\u0041"|"\\ud800"|"\\\ud800"
{"a":1}|{"a":1,"a":2}|{"a":1,"b":2,"a":3}|{"a":{"b":1,"b":2}}|{"a" : 1 , "b" : 2}|{"a":}|{"a"}|{"a" 1}|{a:1}|{1:1}|{'a':1}|{"a":1,}|{,}|{"a":1 "b":2}|{"a"::1}|{"":1}|{"\ud800":1}|{"\u0061":1,"a":2}
[1,[2,[3,{"a":[{}]}]]]|{"a":[1,{"b":[]},{}]}|[1]x|[1]]|{"a":1}}|[true,false,null]|[truefalse]|[nulll]|/*c*/1|1//c|#1|[1,/**/2]|[,]|[""]|["a","b"]|["a" "b"]|[-]|[1e]|undefined
'''.strip("\n")

SEEDS = (
    r'{"method": "echo", "args": {"a": 1, "b": "\u00e9", "c": [1, 2.5, null, true], "d": {"x": {}}}, "version": "1.2"}',
    r'{"result": NaN, "failure": null, "ending": true, "_msg_id": "ea4041f7"}',
    r'[-Infinity, 1e400, 123456789012345678901234567890, "\ud83d\ude00 \ud800", "\\\"\/\b"]',
    r'{"k": [[[]], {"": -0.0}], "k": {"l": [0, -1, 1e-7]}, "é😀": "tab\tnew\nline"}',
)
ALPHABET = '{}[]",:\\/ \n\t019-+.eEuUnNtrueflasIy\'éd8\x00\x1f'


def mutated(rng):
    text = rng.choice(SEEDS)
    begin = rng.randrange(len(text))
    text = text[begin:begin + rng.randrange(1, 40)] if rng.random() < 0.3 else text
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        kind = rng.random()
        if kind < 0.4:
            text = text[:at] + rng.choice(ALPHABET) + text[at:]
        elif kind < 0.8:
            text = text[:at] + text[at + 1:]
        else:
            text = text[:at] + rng.choice(ALPHABET) + text[at + 1:]
    return text


def whole(text):
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def typed(value):
    if value is None:
        return ["null"]
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", repr(value)]
    if isinstance(value, str):
        return ["str", whole(value)]
    if isinstance(value, list):
        return ["list", [typed(item) for item in value]]
    return ["dict", [[whole(key), typed(item)] for key, item in value.items()]]


def main():
    rng = random.Random(20)
    texts = [text for line in BY_HAND.split("\n") for text in line.split("|")]
    texts += ["\ufeff1", "[1\x0b]", "\xa01", "[\r\n\t 1]", '"\x7f"', '"\t"', '"\n"', '"\x1f"', '"\x00"', "1\x00", "\x00"]
    texts += [mutated(rng) for _ in range(1200)]
    rows = []
    for text in dict.fromkeys(texts):
        try:
            rows.append([text, typed(json.loads(text))])
        except ValueError:
            rows.append([text, None])
    sys.stdout.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
