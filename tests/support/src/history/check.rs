//! The invariants.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Event, Outcome, Record};

/// The limits that a history is checked against.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long after its timeout a call may end, and a method may begin. Default 100 ms.
    pub slack: Duration,
    /// How late this machine woke tasks up (see [`Lag`](crate::Lag)); added to every limit. Default 0.
    pub lag: Duration,
    /// Whether everything must run at most once in spite of disruptions. Default `false`.
    pub exactly_once: bool,
    /// Whether methods of calls that had timed out may begin to run. Default `false`.
    pub late_runs_allowed: bool,
}

impl Default for Rules {
    fn default() -> Self {
        let slack = Duration::from_millis(100);
        Self { slack, lag: Duration::ZERO, exactly_once: false, late_runs_allowed: false }
    }
}

/// Totals of a history that satisfies the invariants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Calls made.
    pub calls: usize,
    /// Calls that were answered.
    pub replied: usize,
    /// Calls whose error says that they did not run.
    pub not_run: usize,
    /// Calls whose error says that they may have run.
    pub unknown: usize,
    /// Casts that the broker confirmed.
    pub confirmed: usize,
    /// Runs beyond the first of the same call or cast.
    pub repeated: usize,
    /// How long after [`Event::Healed`] the first call succeeded.
    pub resumed_after: Option<Duration>,
}

#[derive(Default)]
struct Call {
    called: Option<(Duration, Duration)>,
    ended: Vec<(Duration, Outcome)>,
}

#[derive(Default)]
struct Cast {
    made: bool,
    confirmed: bool,
    refused: bool,
}

#[derive(Default)]
struct Told {
    calls: BTreeMap<String, Call>,
    casts: BTreeMap<String, Cast>,
    runs: BTreeMap<String, Vec<Duration>>,
    disruptions: Vec<Duration>,
}

pub(super) fn check(records: &[Record], rules: &Rules) -> Result<Summary, Vec<String>> {
    let mut wrong = Vec::new();
    let mut summary = Summary::default();
    let told = sort(records, rules.lag, &mut wrong, &mut summary);
    for (id, call) in &told.calls {
        one_outcome_in_time(id, call, rules, &mut wrong);
        honest(id, call, told.runs.get(id), rules, &mut wrong);
        summary.calls += 1;
        match call.ended.first() {
            Some((_, Outcome::Replied(_))) => summary.replied += 1,
            Some((_, Outcome::NotRun)) => summary.not_run += 1,
            Some((_, Outcome::Unknown)) => summary.unknown += 1,
            _ => {}
        }
    }
    for (id, cast) in &told.casts {
        let ran = told.runs.contains_key(id);
        if cast.confirmed && !ran {
            wrong.push(format!("I2: cast {id} was confirmed and never ran"));
        }
        if cast.refused && ran {
            wrong.push(format!("I2: cast {id} ran, though its error says that it did not"));
        }
        summary.confirmed += usize::from(cast.confirmed);
    }
    for (id, runs) in &told.runs {
        summary.repeated += runs.len() - 1;
        bounded_runs(id, runs, &told, rules, &mut wrong);
    }
    if wrong.is_empty() { Ok(summary) } else { Err(wrong) }
}

fn sort(records: &[Record], lag: Duration, wrong: &mut Vec<String>, summary: &mut Summary) -> Told {
    let mut told = Told::default();
    let mut healed: Option<(Duration, Duration)> = None;
    for Record { at, event } in records {
        match event {
            Event::Called { id, timeout } => {
                if told.calls.entry(id.clone()).or_default().called.replace((*at, *timeout)).is_some() {
                    wrong.push(format!("the recording is broken: call {id} was made twice"));
                }
            }
            Event::Ended { id, outcome } => {
                told.calls.entry(id.clone()).or_default().ended.push((*at, outcome.clone()));
            }
            Event::Cast { id } => told.casts.entry(id.clone()).or_default().made = true,
            Event::Confirmed { id } => told.casts.entry(id.clone()).or_default().confirmed = true,
            Event::CastFailed { id, may_run } => told.casts.entry(id.clone()).or_default().refused = !may_run,
            Event::Executed { id } => told.runs.entry(id.clone()).or_default().push(*at),
            Event::Disrupted => told.disruptions.push(*at),
            Event::Healed { within } => {
                unresumed(healed.replace((*at, *within)), wrong);
            }
            Event::Resumed => {
                let Some((since, within)) = healed.take() else { continue };
                let took = *at - since;
                if took > within + lag {
                    wrong.push(format!(
                        "I5: service came back {took:?} after the fault was over, not within {within:?}"
                    ));
                }
                summary.resumed_after = Some(took);
            }
            Event::Left { what, before, after } if after > before => {
                wrong.push(format!("I6: {after} {what} are left, {before} were there before"));
            }
            Event::Exited { process, aborted: true } => wrong.push(format!("I7: {process} aborted")),
            Event::Memory { before, after, bound } if after.saturating_sub(*before) > *bound => {
                let grown = after - before;
                wrong.push(format!("I8: memory grew by {grown} bytes, {bound} are allowed"));
            }
            Event::Left { .. } | Event::Exited { .. } | Event::Memory { .. } => {}
        }
    }
    unresumed(healed, wrong);
    let strangers: BTreeSet<_> =
        told.runs.keys().filter(|id| !told.calls.contains_key(*id) && !told.casts.contains_key(*id)).collect();
    for id in strangers {
        wrong.push(format!("I4: {id} ran, and nobody had asked for it"));
    }
    told
}

fn unresumed(healed: Option<(Duration, Duration)>, wrong: &mut Vec<String>) {
    if let Some((at, within)) = healed {
        wrong.push(format!("I5: the fault was over at {at:?}, and service did not come back within {within:?}"));
    }
}

/// I1 and I4: each call ends once, within its timeout, with its own reply.
fn one_outcome_in_time(id: &str, call: &Call, rules: &Rules, wrong: &mut Vec<String>) {
    let Some((at, timeout)) = call.called else {
        wrong.push(format!("I1: call {id} ended and was never made"));
        return;
    };
    match call.ended.as_slice() {
        [] => wrong.push(format!("I1: call {id} has no outcome")),
        [(ended, _)] => {
            let took = *ended - at;
            if took > timeout + rules.slack + rules.lag {
                wrong.push(format!("I1: call {id} took {took:?}, its timeout is {timeout:?}"));
            }
        }
        more => wrong.push(format!("I1: call {id} has {} outcomes", more.len())),
    }
    for (_, outcome) in &call.ended {
        if let Outcome::Replied(answered) = outcome
            && answered != id
        {
            wrong.push(format!("I4: call {id} was given the reply to {answered}"));
        }
    }
}

/// I3: what the caller was told about running is true, and nothing begins to run after the caller gave up.
fn honest(id: &str, call: &Call, runs: Option<&Vec<Duration>>, rules: &Rules, wrong: &mut Vec<String>) {
    let runs = runs.map_or(&[][..], Vec::as_slice);
    for (_, outcome) in &call.ended {
        match outcome {
            Outcome::NotRun if !runs.is_empty() => {
                wrong.push(format!("I3: call {id} ran, though its error says that it did not"));
            }
            Outcome::Replied(_) if runs.is_empty() => {
                wrong.push(format!("I3: call {id} was answered and never ran"));
            }
            _ => {}
        }
    }
    let Some((at, timeout)) = call.called else { return };
    if rules.late_runs_allowed {
        return;
    }
    for run in runs.iter().filter(|run| **run > at + timeout + rules.slack + rules.lag) {
        wrong.push(format!("I3: call {id} began to run {:?} after its timeout", *run - at - timeout));
    }
}

/// I3: runs of one call are at most one more than the disruptions during its life. A cast has no end of life.
fn bounded_runs(id: &str, runs: &[Duration], told: &Told, rules: &Rules, wrong: &mut Vec<String>) {
    let first = runs.first().copied().unwrap_or_default();
    let disruptions = told.disruptions.iter().filter(|at| **at >= first).count();
    let most = if rules.exactly_once { 1 } else { 1 + disruptions };
    if runs.len() > most {
        wrong.push(format!("I3: {id} ran {} times, {most} are allowed", runs.len()));
    }
}
