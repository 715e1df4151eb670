//! The checker accepts correct recordings and names each violation.

use std::time::Duration;

use super::{Event, Outcome, Record, Rules, Summary, check::check};

const SECOND: Duration = Duration::from_secs(1);

/// Event `n` of a list happens at `n * 100` ms.
fn at_each_tenth(events: Vec<Event>) -> Vec<Record> {
    (0..).zip(events).map(|(tenth, event)| Record { at: Duration::from_millis(tenth * 100), event }).collect()
}

fn called(id: &str) -> Event {
    Event::Called { id: id.into(), timeout: SECOND }
}

fn ended(id: &str, outcome: Outcome) -> Event {
    Event::Ended { id: id.into(), outcome }
}

fn replied(id: &str) -> Event {
    ended(id, Outcome::Replied(id.into()))
}

fn executed(id: &str) -> Event {
    Event::Executed { id: id.into() }
}

/// The only violation of a recording.
fn violation(events: Vec<Event>) -> String {
    let violations = check(&at_each_tenth(events), &Rules::default()).unwrap_err();
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].clone()
}

#[test]
fn what_is_right_passes() {
    let events = vec![
        called("a"),
        executed("a"),
        replied("a"),
        called("b"),
        ended("b", Outcome::NotRun),
        Event::Cast { id: "c".into() },
        Event::Disrupted,
        called("d"),
        ended("d", Outcome::Unknown),
        Event::Healed { within: SECOND },
        Event::Confirmed { id: "c".into() },
        executed("c"),
        Event::Resumed,
        Event::Left { what: "queues".into(), before: 2, after: 2 },
        Event::Exited { process: "child".into(), aborted: false },
        Event::Memory { before: 10, after: 20, bound: 10 },
    ];
    let summary = check(&at_each_tenth(events), &Rules::default()).unwrap();
    let wanted = Summary {
        calls: 3,
        replied: 1,
        not_run: 1,
        unknown: 1,
        confirmed: 1,
        repeated: 0,
        resumed_after: Some(Duration::from_millis(300)),
    };
    assert_eq!(summary, wanted);
}

#[test]
fn a_missing_outcome_is_found() {
    assert_eq!(violation(vec![called("a")]), "I1: call a has no outcome");
}

#[test]
fn two_outcomes_are_found() {
    let events = vec![called("a"), executed("a"), replied("a"), ended("a", Outcome::Unknown)];
    assert_eq!(violation(events), "I1: call a has 2 outcomes");
}

#[test]
fn an_outcome_after_the_timeout_is_found() {
    let mut events = vec![called("a"), executed("a")];
    events.extend((0..9).map(|_| Event::Disrupted));
    events.push(replied("a"));
    assert!(check(&at_each_tenth(events.clone()), &Rules::default()).is_ok(), "100 ms late is in time");
    events.insert(1, Event::Disrupted);
    assert_eq!(violation(events), "I1: call a took 1.2s, its timeout is 1s");
}

#[test]
fn a_run_after_the_timeout_is_found() {
    let mut events = vec![called("a"), ended("a", Outcome::Unknown)];
    events.extend((0..12).map(|_| Event::Disrupted));
    events.push(executed("a"));
    assert_eq!(violation(events), "I3: call a began to run 400ms after its timeout");
}

#[test]
fn a_reply_to_another_call_is_found() {
    let events = vec![called("a"), executed("a"), ended("a", Outcome::Replied("b".into()))];
    assert_eq!(violation(events), "I4: call a was given the reply to b");
}

#[test]
fn a_run_that_nobody_asked_for_is_found() {
    assert_eq!(violation(vec![executed("x")]), "I4: x ran, and nobody had asked for it");
}

#[test]
fn a_lost_confirmed_cast_is_found() {
    let events = vec![Event::Cast { id: "c".into() }, Event::Confirmed { id: "c".into() }];
    assert_eq!(violation(events), "I2: cast c was confirmed and never ran");
}

#[test]
fn a_cast_that_ran_against_its_error_is_found() {
    let failed = Event::CastFailed { id: "c".into(), may_run: false };
    let events = vec![Event::Cast { id: "c".into() }, failed, executed("c")];
    assert_eq!(violation(events), "I2: cast c ran, though its error says that it did not");
}

#[test]
fn a_second_run_needs_a_disruption_after_the_first() {
    let twice = vec![called("a"), executed("a"), executed("a"), replied("a")];
    assert_eq!(violation(twice), "I3: a ran 2 times, 1 are allowed");
    let before = vec![called("a"), Event::Disrupted, executed("a"), executed("a"), replied("a")];
    assert_eq!(violation(before), "I3: a ran 2 times, 1 are allowed");
    let between = at_each_tenth(vec![called("a"), executed("a"), Event::Disrupted, executed("a"), replied("a")]);
    assert_eq!(check(&between, &Rules::default()).unwrap().repeated, 1);
    let strict = Rules { exactly_once: true, ..Rules::default() };
    assert_eq!(check(&between, &strict).unwrap_err(), ["I3: a ran 2 times, 1 are allowed"]);
}

#[test]
fn an_error_that_lies_about_running_is_found() {
    let events = vec![called("a"), executed("a"), ended("a", Outcome::NotRun)];
    assert_eq!(violation(events), "I3: call a ran, though its error says that it did not");
    let events = vec![called("a"), replied("a")];
    assert_eq!(violation(events), "I3: call a was answered and never ran");
}

#[test]
fn service_that_comes_back_late_or_never_is_found() {
    let soon = Event::Healed { within: Duration::from_millis(100) };
    let events = vec![soon.clone(), Event::Disrupted, Event::Resumed];
    assert_eq!(violation(events), "I5: service came back 200ms after the fault was over, not within 100ms");
    assert_eq!(violation(vec![soon]), "I5: the fault was over at 0ns, and service did not come back within 100ms");
}

#[test]
fn the_lag_of_the_machine_is_added_to_every_limit() {
    let late = Rules { lag: SECOND, ..Rules::default() };
    let mut call = vec![called("a"), executed("a")];
    call.extend((0..18).map(|_| Event::Disrupted));
    call.push(replied("a"));
    let service = vec![Event::Healed { within: Duration::from_millis(100) }, Event::Disrupted, Event::Resumed];
    for events in [call, service] {
        assert!(check(&at_each_tenth(events.clone()), &Rules::default()).is_err());
        assert!(check(&at_each_tenth(events), &late).is_ok());
    }
}

#[test]
fn leaks_aborts_and_memory_are_found() {
    let leak = Event::Left { what: "pending calls".into(), before: 0, after: 3 };
    assert_eq!(violation(vec![leak]), "I6: 3 pending calls are left, 0 were there before");
    let abort = Event::Exited { process: "the server".into(), aborted: true };
    assert_eq!(violation(vec![abort]), "I7: the server aborted");
    let memory = Event::Memory { before: 10, after: 31, bound: 20 };
    assert_eq!(violation(vec![memory]), "I8: memory grew by 21 bytes, 20 are allowed");
}
