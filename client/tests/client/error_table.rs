//! The table of all errors in the documentation agrees with the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use oxlo_client::{BoxError, CallError, CallRequest, RPCClient};
use oxlo_transport::{Deadline, Failure, OptionError, Payload, Refusal, Reply, Settings, TransportError, TransportUrl};
use serde_json::json;
use tokio::time::Instant;
use tower::{filter::FilterLayer, timeout::TimeoutLayer};

use crate::fake::{Fake, Step, calculator, ctxt};

const TABLE: &str = include_str!("../../src/error/table.md");
const GUIDE: &str = include_str!("../../../src/guide/errors.md");
const CLIENT: &str = include_str!("../../src/error.rs");
const TRANSPORT: &str = include_str!("../../../transport/src/error.rs");

/// The cells of each row, by the error's name.
fn rows() -> BTreeMap<String, Vec<&'static str>> {
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let rows: Vec<_> = TABLE.lines().skip(2).map(cells).collect();
    let named = rows.iter().map(|cells| (cells[1].trim_matches('`').to_owned(), cells.clone()));
    let named: BTreeMap<_, _> = named.collect();
    assert_eq!(named.len(), rows.len(), "one row for each error");
    named
}

/// The variants of an enum as its source declares them.
fn variants(source: &'static str, name: &str) -> impl Iterator<Item = &'static str> {
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).unwrap().split("\n}\n").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.split(|letter: char| !letter.is_alphanumeric()).next().unwrap())
}

/// The errors of the transport: each variant, with each answer that it can give.
fn of_transport() -> Vec<TransportError> {
    let second = Duration::from_secs(1);
    let text = String::new;
    let refused = |refusal| TransportError::Refused { refusal, broker: text(), reason: text() };
    let message_refused = |may_pass| TransportError::MessageRefused {
        exchange: "x".into(),
        routing_key: "k".into(),
        code: "403".into(),
        reason: "r".into(),
        may_pass,
    };
    vec![
        TransportError::InvalidTarget { reason: text() },
        TransportError::InvalidUrl("no scheme".parse::<TransportUrl>().unwrap_err()),
        TransportError::UnknownScheme { scheme: text(), hint: text() },
        TransportError::InvalidOption(OptionError::Value { name: "ssl", wanted: text() }),
        TransportError::Config { option: text(), reason: text() },
        TransportError::Unsupported { what: text() },
        TransportError::TooLarge { size: 2, limit: 1 },
        TransportError::Closed,
        TransportError::Unreachable { broker: text(), waited: second, source: None },
        TransportError::Blocked { reason: text(), waited: second },
        refused(Refusal::Credentials),
        refused(Refusal::ConnectionLimit),
        TransportError::Undeliverable { exchange: text(), routing_key: text() },
        message_refused(true),
        message_refused(false),
        TransportError::Topology { object: text(), reason: text() },
        TransportError::Rejected { routing_key: text(), reason: text() },
        TransportError::Unconfirmed { waited: second },
        TransportError::ConnectionLost { source: None },
        TransportError::TimedOut { waited: second },
        TransportError::ServerSilent { silence: second },
        TransportError::ReplyLost { queue: text() },
        TransportError::ClosedWaiting,
        TransportError::MalformedReply { reason: text() },
    ]
}

/// The error of a call that the transport answers like this.
async fn error(step: Step, change: impl Fn(RPCClient) -> RPCClient) -> CallError {
    let mut settings = Settings::default();
    settings.remote_errors.allow_module("nova.exception");
    let fake = Fake::with(settings);
    fake.then(step);
    change(calculator(&fake)).call::<i64>(&ctxt(), "add", ()).await.unwrap_err()
}

fn failure(failure: Failure) -> Step {
    Step::Reply(Reply::Failure(Box::new(failure)))
}

/// Every error that a call can return, with the name of its row.
async fn every_error() -> Vec<(String, CallError)> {
    let mut errors = Vec::new();
    for carried in of_transport() {
        errors.push((row_of(&carried), error(Step::Refuse(carried), |it| it).await));
    }
    let passed = Deadline(Some(Instant::now()));
    let refuses = FilterLayer::new(|_: CallRequest| Err::<CallRequest, BoxError>("refused".into()));
    let times_out = TimeoutLayer::new(Duration::from_millis(10));
    let own = [
        ("VersionCap", error(Step::Silence, |it| it.version("2.0").version_cap("1.0")).await),
        ("DeadlinePassed", error(Step::Silence, |it| it.within(passed)).await),
        ("Middleware", error(Step::Silence, |it| it.layer(refuses.clone())).await),
        ("Middleware", error(Step::Silence, |it| it.layer(times_out.clone())).await),
        ("Remote", error(failure(Failure::new("nova.exception", "NotFound", "no")), |it| it).await),
        ("Remote", error(failure(Failure::new("other", "Boom", "no")), |it| it).await),
        ("Remote", error(failure(Failure::overloaded("no")), |it| it).await),
        ("Decode", error(Step::Reply(Reply::Result(Payload::empty_object())), |it| it).await),
    ];
    errors.extend(own.map(|(name, error)| (name.to_owned(), error)));
    let not_an_object = calculator(&Fake::new()).cast(&ctxt(), "add", json!([])).await.unwrap_err();
    errors.push(("Encode".into(), not_an_object));
    errors
}

/// The row of an error: labels are the variants in snake case, of which two pairs share one.
fn row_of(error: &TransportError) -> String {
    let camel = |label: &str| {
        let words = label.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
        words.collect::<String>()
    };
    let name = match error {
        TransportError::ClosedWaiting => "ClosedWaiting".into(),
        TransportError::InvalidOption(_) => "InvalidOption".into(),
        other => camel(other.label()),
    };
    format!("TransportError::{name}")
}

#[tokio::test]
async fn the_table_states_what_the_code_answers() {
    let mut answers: BTreeMap<String, Vec<CallError>> = BTreeMap::new();
    for (name, error) in every_error().await {
        answers.entry(name).or_default().push(error);
    }
    for (name, cells) in rows() {
        let errors = answers.get(&name).unwrap_or_else(|| panic!("no error for the row {name}"));
        let answer = |cell: &str, is: fn(&CallError) -> bool| {
            let expected = match cell {
                "yes" => BTreeSet::from([true]),
                "no" => BTreeSet::from([false]),
                other => {
                    assert!(other.starts_with("if "), "{name}: {other}");
                    BTreeSet::from([false, true])
                }
            };
            let answered: BTreeSet<bool> = errors.iter().map(is).collect();
            assert_eq!(answered, expected, "{name}: {cell}");
        };
        let [phase, _, _, ran, retry, python] = cells[..] else { panic!("{name}: {cells:?}") };
        answer(ran, CallError::may_have_run);
        answer(retry, CallError::is_retryable);
        for error in errors {
            let (_, class) = error.oslo_exception();
            assert!(python.contains(&format!("`{class}`")), "{name}: {class}");
        }
        match phase {
            "nothing sent" | "refused by the broker" => assert_eq!(ran, "no", "{name}"),
            "it ran and failed" | "outcome unknown" => assert_ne!(ran, "no", "{name}"),
            "the reply is something else" => assert_eq!(ran, "yes", "{name}"),
            other => panic!("{name}: unknown phase {other}"),
        }
    }
}

#[tokio::test]
async fn the_table_has_every_error() {
    let carried = variants(TRANSPORT, "TransportError").map(|name| format!("TransportError::{name}"));
    let own = variants(CLIENT, "CallError").filter(|name| *name != "Transport").map(str::to_owned);
    let declared: BTreeSet<String> = carried.chain(own).collect();
    assert_eq!(rows().into_keys().collect::<BTreeSet<_>>(), declared);
    let answered: BTreeSet<String> = every_error().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(answered, declared);
}

#[test]
fn the_guide_has_the_same_table() {
    assert!(GUIDE.contains(TABLE), "copy client/src/error/table.md to src/guide/errors.md");
}
