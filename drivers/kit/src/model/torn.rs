//! The pending calls with locks that let go before each write.

#[allow(dead_code, unfulfilled_lint_expectations, unreachable_pub, missing_debug_implementations)]
#[path = "../pending.rs"]
mod pending;
#[expect(dead_code, reason = "one scenario is enough to find it")]
#[path = "scenarios.rs"]
pub(super) mod scenarios;

mod sync {
    use std::{
        ops::{Deref, DerefMut},
        sync::{LockResult, PoisonError},
    };

    pub(super) use super::super::{
        channel as oneshot,
        clock::{Instant, Sleep, sleep_until},
    };

    #[derive(Debug, Default)]
    pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            Ok(MutexGuard { mutex: &self.0, held: Some(self.locked()) })
        }

        fn locked(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    pub(super) struct MutexGuard<'a, T> {
        mutex: &'a shuttle::sync::Mutex<T>,
        held: Option<shuttle::sync::MutexGuard<'a, T>>,
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.held.as_deref().unwrap()
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held = None;
            self.held = Some(self.mutex.lock().unwrap_or_else(PoisonError::into_inner));
            self.held.as_deref_mut().unwrap()
        }
    }
}
