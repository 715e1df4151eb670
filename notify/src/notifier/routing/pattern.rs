//! Python's `fnmatch` patterns.

use regex::Regex;

/// A pattern that must match a whole text. `*` matches any text, `?` any character, `[abc]` and `[a-z]` one of the
/// characters, `[!abc]` any other character; an unclosed `[` matches itself.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// # Errors
    ///
    /// Why the pattern is invalid: a reversed range, or too large.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut translated = String::from(r"(?s)\A");
        let characters: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while let Some(&character) = characters.get(at) {
            at += 1;
            match character {
                '*' => translated.push_str(".*"),
                '?' => translated.push('.'),
                '[' => match closing(&characters, at) {
                    None => translated.push_str(r"\["),
                    Some(end) => {
                        set(&mut translated, &characters[at..end]);
                        at = end + 1;
                    }
                },
                other => translated.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        translated.push_str(r"\z");
        Regex::new(&translated).map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
            _ => "a range is reversed".to_owned(),
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// The position of the `]` that closes a set. A leading `]` belongs to the set.
fn closing(characters: &[char], start: usize) -> Option<usize> {
    let first = start + usize::from(characters.get(start) == Some(&'!'));
    (first + 1..characters.len()).find(|&at| characters[at] == ']')
}

fn set(translated: &mut String, members: &[char]) {
    let (negated, members) = match members.split_first() {
        Some(('!', rest)) => (true, rest),
        _ => (false, members),
    };
    translated.push_str(if negated { "[^" } else { "[" });
    for (at, &member) in members.iter().enumerate() {
        let range = member == '-' && at > 0 && at + 1 < members.len();
        if !range && !member.is_alphanumeric() {
            translated.push('\\');
        }
        translated.push(member);
    }
    translated.push(']');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        for (pattern, text, wanted) in [
            ("compute.*", "compute.instance.end", true),
            ("compute.*", "xcompute.a", false),
            ("compute.*", "compute", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[ab]x", "bx", true),
            ("[!ab]x", "bx", false),
            ("[a-c]x", "bx", true),
            ("[]]", "]", true),
            ("[", "[", true),
            ("a+b", "a+b", true),
            ("a+b", "aab", false),
            ("*", "a\nb", true),
            ("A", "a", false),
            ("[.-]", "-", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), wanted, "{pattern} on {text}");
        }
        assert_eq!(Pattern::new("[z-a]").unwrap_err(), "a range is reversed");
    }
}
