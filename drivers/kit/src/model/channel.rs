//! A channel for one value with the contract of `tokio::sync::oneshot`, each step under a lock of shuttle.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use shuttle::sync::Mutex;

struct Slot<T> {
    value: Option<T>,
    sender_gone: bool,
    receiver_gone: bool,
    waker: Option<Waker>,
    wakes: bool,
}

pub(crate) struct Sender<T>(Arc<Mutex<Slot<T>>>);

pub(crate) struct Receiver<T>(Arc<Mutex<Slot<T>>>);

/// The sender was dropped.
#[derive(Debug)]
pub(crate) struct Gone;

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    pair(true)
}

/// The same, broken.
pub(crate) fn channel_that_wakes_nobody<T>() -> (Sender<T>, Receiver<T>) {
    pair(false)
}

fn pair<T>(wakes: bool) -> (Sender<T>, Receiver<T>) {
    let slot = Slot { value: None, sender_gone: false, receiver_gone: false, waker: None, wakes };
    let slot = Arc::new(Mutex::new(slot));
    (Sender(slot.clone()), Receiver(slot))
}

impl<T> Sender<T> {
    /// Hands the value over, or gives it back when nobody can take it any more.
    pub(crate) fn send(self, value: T) -> Result<(), T> {
        let mut slot = self.0.lock().unwrap();
        if slot.receiver_gone {
            return Err(value);
        }
        slot.value = Some(value);
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock().unwrap();
        slot.sender_gone = true;
        let waker = slot.waker.take().filter(|_| slot.wakes);
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.lock().unwrap();
        match slot.value.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None if slot.sender_gone => Poll::Ready(Err(Gone)),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock().unwrap();
        slot.receiver_gone = true;
        let value = slot.value.take();
        drop(slot);
        drop(value);
    }
}
