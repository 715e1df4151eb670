//! The serving loop that servers and notification listeners share, below endpoints and handlers.
//!
//! A [`Run`] takes deliveries from a [`Listener`](oxlo_transport::Listener), hands each to a [`Dispatch`] on a worker
//! task, and never runs more of them at a time than its concurrency. It follows readiness, warns about stalls, and shuts
//! down in order: stop taking messages, wait for running ones within the grace period, abandon the rest, close the
//! listener, and report.
//!
//! A delivery crosses at most two tasks on its way to its handler: from the driver to the loop, and from the loop to a
//! worker.
//!
//! | module | holds |
//! |---|---|
//! | `dispatch` | the traits that a server or a listener implements |
//! | `run`, `shutdown`, `jobs`, `workers` | the loop, its end, and the tasks that run messages |
//! | `deferred`, `requeue` | messages that are not due yet, and when a requeued message is due |
//! | `handle`, `control`, `usage` | the handle of a background run, its commands, and warnings about its misuse |
//! | `stall`, `report`, `signals` | stall detection, the facts of a finished run, process signals |

mod control;
mod deferred;
mod dispatch;
mod handle;
mod jobs;
mod report;
mod requeue;
mod run;
mod shutdown;
mod signals;
mod stall;
mod usage;
mod workers;

pub use crate::{
    control::Limits,
    deferred::due,
    dispatch::{Dispatch, Report, Slot, Source},
    handle::RunHandle,
    jobs::{Running, Stalled},
    report::{AbandonedMessages, Failed, StopReason, Summary},
    requeue::Requeue,
    run::{Run, RunOptions},
    shutdown::Shutdown,
    signals::{ShutdownSignal, shutdown_signal},
};

/// Whether the broker delivered a message before, to a consumer that did not settle it: it may have been handled
/// already. A parameter of handlers of servers and of notification listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redelivered(pub bool);
