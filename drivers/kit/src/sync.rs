//! What `pending` waits and locks with. Its model has other ones of the same names.

pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep_until},
};
