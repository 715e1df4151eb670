//! INI files and environment variables: `ProcessConfig` reads the same values as oslo.config, which runs beside the test.

use oxlo::ProcessConfig;
use oxlo_test_support::PythonPeer;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// Section, option, default.
type Asked = (&'static str, &'static str, Option<&'static str>);

/// The files and the environment variables of a case.
type Case = (Vec<String>, &'static [(&'static str, &'static str)]);

/// Every case asks for these. References lead to them alone, because oslo.config knows only options that are registered; and only to those
/// with a default, because a reference to an option that has no value is empty there and an error here.
const ASKED: [Asked; 8] = [
    ("DEFAULT", "my_ip", Some("10.9.9.9")),
    ("DEFAULT", "transport_url", None),
    ("DEFAULT", "a", Some("")),
    ("DEFAULT", "b", Some("default $$ of b")),
    ("oslo_messaging_rabbit", "rabbit_ha_queues", None),
    ("oslo_messaging_rabbit", "a", Some("x")),
    ("shop", "a", Some("default of a")),
    ("shop", "c", Some("${shop.a}/$b")),
];

/// The environment variables of a case.
const VARIABLES: [(&str, &str); 3] = [
    ("OS_DEFAULT__MY_IP", " \"quotes stay\" "),
    ("OS_SHOP__A", "$my_ip $$"),
    ("OS_OSLO_MESSAGING_RABBIT__RABBIT_HA_QUEUES", "on"),
];

const FILES: &[&[&str]] = &[
    // substitution
    &["[DEFAULT]\nmy_ip = 10.0.0.1\ntransport_url = rabbit://u:pa$$w@$my_ip:5672/${my_ip}\n"],
    &["[DEFAULT]\na = \\$b $$b \\$$b \\\\$b\nb = x\n"],
    &["[DEFAULT]\na = $ $1 $. $- ${ ${} ${b ${1} $b\nb = x\n"],
    &["[DEFAULT]\na = ${shop.a}, $shop.a\n[shop]\na = $b\nc = $a\n"],
    &["[DEFAULT]\na = ${DEFAULT.b}\nb = x\n"],
    &["[DEFAULT]\na = $nowhere\nb = ${nowhere.b}\n[shop]\na = ${shop.nowhere}\nc = $B\n"],
    &["[DEFAULT]\na = $b\nb = $a\n[shop]\na = $a\nc = ${shop.a}\n"],
    &["[DEFAULT]\na = $b.\nb = $b.c\n[shop]\na = $\u{17f}hop\nc = $\u{e9}\n"],
    &["[DEFAULT]\na = $$$b $$$$b\n[shop]\na = $c$c\n"],
    &["[DEFAULT]\n[shop]\nc = the default of b: $b\n"],
    // values
    &["[DEFAULT]\na = one\n two\n\tthree  \n\nb = \"x\n  y\"\n"],
    &["[DEFAULT]\na = 1\n\n b = 2\n"],
    &["[DEFAULT]\na = 1\n# comment\n b = 2\n"],
    &["[DEFAULT]\na = 1\n ; no comment\n # nor this\nb = x # nor this ; or this\n"],
    &["[DEFAULT]\na =\n first\n second\nb =\n"],
    &["[DEFAULT]\na = \"\nb = '\"\n[shop]\na = \"a\" b\"\nc = \"  x  \"\n"],
    &["[DEFAULT]\na = b = c : d\nb : c = d\n[shop]\na=1\nc:2\n"],
    &["[DEFAULT]\r\na = 1\r\n 2\r\nb = 3\rmy_ip = 4\r\r\n"],
    &["[DEFAULT]\na = \u{a0}x\u{2003}\x1c\nb = \x0bx\x0c\n"],
    // duplicates
    &["[DEFAULT]\na = 1\na = 2\n[shop]\na = x\n[DEFAULT]\na = 3\n"],
    &["[DEFAULT]\na = 1\nb = 1\n", "[DEFAULT]\nb = $a\n", "[DEFAULT]\na = 3\n"],
    // sections
    &["[OSLO_MESSAGING_RABBIT]\nrabbit_ha_queues = true\na = upper\n[oslo_messaging_rabbit]\na = lower\n"],
    &["[oslo_messaging_rabbit]\na = lower\n[Oslo_Messaging_Rabbit]\na = mixed\n[SHOP]\na = x\n"],
    &["[default]\na = 1\n[ DEFAULT ]\na = 2\n[Default]\na = 3\n"],
    &["[ shop ]\na = 1\n[shop]x]\na = 2\n[[shop]]\na = 3\n"],
    &["[shop]\nA = 1\n"],
    // what is not INI
    &["a = 1\n"],
    &["[DEFAULT]\ntransport_url\n"],
    &["[DEFAULT]\n= 1\n"],
    &["[DEFAULT] # comment\na = 1\n"],
    &["[DEFAULT\na = 1\n"],
    &["[]\na = 1\n"],
    &["  a = 1\n[DEFAULT]\n"],
    &["[DEFAULT]\n  a = 1\n"],
    &["\u{feff}[DEFAULT]\na = 1\n"],
    &["", "\n\n  \n# nothing\n;\n"],
];

/// Each case alone and with variables, and several hundred random combinations.
#[tokio::test]
async fn a_configuration_is_read_as_oslo_config_reads_it() {
    let mut python = PythonPeer::spawn::<&str>("config_table.py", &[]);
    python.expect_ready().await;
    let mut refused = 0;
    let written = FILES.iter().map(|files| files.iter().map(ToString::to_string).collect::<Vec<_>>());
    let mut cases: Vec<Case> = Vec::new();
    for files in written {
        cases.push((files.clone(), &[]));
        cases.push((files, &VARIABLES));
    }
    let mut random = StdRng::seed_from_u64(13);
    cases.extend(
        (0..400).map(|_| (vec![random_file(&mut random)], VARIABLES.get(..random.random_range(0..4)).unwrap())),
    );
    for (files, variables) in cases {
        let environment: Value = variables.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        let theirs = python.request(json!({"files": files, "environment": environment, "options": ASKED})).await;
        let ours = read(&files, variables);
        assert_eq!(without_classes(&theirs), ours, "{files:?} with {variables:?}: {theirs}");
        refused += usize::from(theirs["error"].is_string());
    }
    assert!(refused > 20, "too few of the files are refused: {refused}");
    python.finish().await;
}

fn read(files: &[String], variables: &[(&str, &str)]) -> Value {
    let mut config = ProcessConfig::new();
    for (section, option, value) in ASKED {
        if let Some(value) = value {
            config = config.default_value(section, option, value);
        }
    }
    for (number, text) in files.iter().enumerate() {
        config = match config.text(text, &format!("{number}.conf")) {
            Ok(config) => config,
            Err(_) => return json!("refused"),
        };
    }
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let config = config.variables(variables).unwrap();
    let values = ASKED.map(|(section, option, _)| match config.get(section, option) {
        Ok(value) => json!([section, option, value]),
        Err(_) => json!([section, option, "refused"]),
    });
    json!({"values": values})
}

/// Python's answer, with every error reduced to its kind.
fn without_classes(theirs: &Value) -> Value {
    if theirs["error"].is_string() {
        return json!("refused");
    }
    let mut theirs = theirs.clone();
    for row in theirs["values"].as_array_mut().unwrap() {
        if row[2].is_object() {
            row[2] = json!("refused");
        }
    }
    theirs
}

fn random_file(random: &mut StdRng) -> String {
    const LINES: &[&str] =
        &["a", "b", "my_ip", "c", "[DEFAULT]", "[shop]", "[SHOP]", "#", ";", " ", "\t", "", "", "[x"];
    const TOKENS: &[&str] = &[
        "=",
        "=",
        " = ",
        ":",
        "$a",
        "${b}",
        "${shop.a}",
        "$my_ip",
        "$",
        "$$",
        "\\",
        "\\$",
        "{",
        "}",
        ".",
        "\"",
        "'",
        "x",
        " ",
        "\t",
        "#",
        "]",
        "\r",
        "\u{3000}",
    ];
    let mut text = "[DEFAULT]\n".to_owned();
    for _ in 0..random.random_range(1..8) {
        text.push_str(LINES.choose(random).unwrap());
        // Most lines are assignments.
        text.push_str(if random.random_bool(0.7) { "=" } else { "" });
        for _ in 0..random.random_range(0..6) {
            text.push_str(TOKENS.choose(random).unwrap());
        }
        text.push('\n');
    }
    text
}
