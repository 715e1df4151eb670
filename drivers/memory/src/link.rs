//! One transport's end of the bus: all waiting happens here.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use oxlo_driver_kit::send_budget::SendBudget;
use oxlo_transport::{ConnectionState, Retry, Settings, TransportError, error::Cause};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    broker::ConnectionId,
    bus::{Bus, Gate, State},
    faults::{Fault, Traffic},
};

/// How long a publisher with a counted number of retries waits from one look at the connection to the next.
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

/// Shared by a transport, its listeners, and what they handed out; the connection ends with the last of them, or by
/// [`close`](Self::close).
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) bus: Arc<Bus>,
    pub(crate) id: ConnectionId,
    pub(crate) settings: Settings,
    pub(crate) state: watch::Receiver<ConnectionState>,
}

/// A message that is handed over when and as the bus lets it.
pub(crate) struct Publish<P, F> {
    pub(crate) traffic: Traffic,
    /// Where it goes, as errors say it.
    pub(crate) to: P,
    /// Puts it into the queues.
    pub(crate) hand_over: F,
}

/// What a look at the bus led to.
pub(crate) enum Attempt<T> {
    Done(Result<(), TransportError>),
    InFlight(T, Duration),
    Shut(T, Gate),
}

impl Link {
    /// Hands one message over. `budget` begins when something has to be waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message was not sent.
    pub(crate) async fn publish<P, T, F>(
        &self,
        publish: Publish<P, F>,
        message: T,
        budget: impl FnOnce() -> SendBudget,
    ) -> Result<(), TransportError>
    where
        P: fmt::Display + Send,
        T: Clone + Send,
        F: Fn(&mut State, &P, T) -> Result<(), TransportError> + Send,
    {
        match self.attempt(&publish, message) {
            Attempt::Done(outcome) => outcome,
            attempt => Box::pin(self.go_on(publish, attempt, budget())).await,
        }
    }

    /// Hands one message over if nothing has to be waited for. The future of everything else is large, and rarely needed.
    pub(crate) fn attempt<P, T, F>(&self, publish: &Publish<P, F>, message: T) -> Attempt<T>
    where
        P: fmt::Display,
        T: Clone,
        F: Fn(&mut State, &P, T) -> Result<(), TransportError>,
    {
        let Publish { traffic, to, hand_over } = publish;
        let mut state = self.bus.lock();
        match state.gate(self.id) {
            Gate::Open => {}
            Gate::Closed => return Attempt::Done(Err(TransportError::Closed)),
            shut => return Attempt::Shut(message, shut),
        }
        Attempt::Done(match state.script.next(*traffic) {
            None => hand_over(&mut state, to, message),
            Some(Fault::Delay(delay)) => return Attempt::InFlight(message, delay),
            Some(Fault::Drop) => Ok(()),
            Some(Fault::Duplicate) => {
                hand_over(&mut state, to, message.clone()).and_then(|()| hand_over(&mut state, to, message))
            }
            Some(Fault::Reject) => {
                Err(TransportError::Rejected { routing_key: to.to_string(), reason: "a fault was injected".into() })
            }
            Some(Fault::LoseConfirm) => hand_over(&mut state, to, message)
                .and(Err(TransportError::ConnectionLost { source: Some(cause("a fault was injected")) })),
        })
    }

    /// Goes on after a first [`attempt`](Self::attempt).
    pub(crate) async fn go_on<P, T, F>(
        &self,
        publish: Publish<P, F>,
        mut attempt: Attempt<T>,
        mut budget: SendBudget,
    ) -> Result<(), TransportError>
    where
        P: fmt::Display + Send,
        T: Clone + Send,
        F: Fn(&mut State, &P, T) -> Result<(), TransportError> + Send,
    {
        loop {
            attempt = match attempt {
                Attempt::Done(outcome) => return outcome,
                Attempt::InFlight(message, delay) => {
                    self.fly(delay, &budget).await?;
                    let Publish { to, hand_over, .. } = &publish;
                    return hand_over(&mut self.bus.lock(), to, message);
                }
                Attempt::Shut(message, gate) => {
                    self.wait(gate, &mut budget).await?;
                    self.attempt(&publish, message)
                }
            };
        }
    }

    /// Waits until the transport is connected, for at most the settings' response timeout.
    pub(crate) async fn connected(&self) -> Result<(), TransportError> {
        let mut budget = SendBudget::new(self.settings.response_timeout, Retry::Forever);
        loop {
            let gate = self.bus.lock().gate(self.id);
            match gate {
                Gate::Open | Gate::Blocked(_) => return Ok(()),
                Gate::Closed => return Err(TransportError::Closed),
                Gate::Disconnected(_) => self.wait(gate, &mut budget).await?,
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.bus.lock().gate(self.id), Gate::Open | Gate::Blocked(_))
    }

    /// Ends the connection; a second time does nothing.
    pub(crate) fn close(&self) {
        self.bus.lock().leave(self.id, Instant::now());
    }

    /// Waits until the bus may look otherwise than `gate`, as it looked last.
    async fn wait(&self, gate: Gate, budget: &mut SendBudget) -> Result<(), TransportError> {
        let mut changes = self.state.clone();
        changes.mark_unchanged();
        // A change since that look is in no wait for the next one.
        if self.bus.lock().gate(self.id) != gate {
            return Ok(());
        }
        let mut until = budget.deadline;
        if let (Gate::Disconnected(_), Retry::Times(retries)) = (&gate, budget.retry) {
            let Some(fewer) = retries.checked_sub(1) else { return Err(self.overdue(gate, budget)) };
            budget.retry = Retry::Times(fewer);
            until = until.min(Instant::now() + ATTEMPT_EVERY);
        }
        match timeout_at(until, changes.changed()).await {
            Err(_) if Instant::now() >= budget.deadline => Err(self.overdue(gate, budget)),
            _ => Ok(()),
        }
    }

    fn overdue(&self, gate: Gate, budget: &SendBudget) -> TransportError {
        let waited = budget.begun.elapsed();
        match gate {
            Gate::Blocked(reason) => TransportError::Blocked { reason: reason.to_string(), waited },
            Gate::Disconnected(reason) => TransportError::Unreachable {
                broker: format!("memory://{}", self.bus.name()),
                waited,
                source: Some(cause(&reason)),
            },
            Gate::Open | Gate::Closed => TransportError::Closed,
        }
    }

    /// Waits as long as a delayed message is on its way.
    async fn fly(&self, delay: Duration, budget: &SendBudget) -> Result<(), TransportError> {
        let mut changes = self.state.clone();
        let lost = async {
            let gone =
                |state: &ConnectionState| matches!(state, ConnectionState::Disconnected(_) | ConnectionState::Closed);
            match changes.wait_for(gone).await.as_deref() {
                Ok(ConnectionState::Disconnected(reason)) => {
                    TransportError::ConnectionLost { source: Some(cause(reason)) }
                }
                _ => TransportError::Closed,
            }
        };
        let lands = Instant::now() + delay;
        select! {
            biased;
            error = lost => Err(error),
            () = sleep_until(lands.min(budget.deadline)) => {
                if lands < budget.deadline {
                    Ok(())
                } else {
                    Err(TransportError::Unconfirmed { waited: budget.begun.elapsed() })
                }
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why a connection that never existed was lost.
#[derive(Debug)]
struct Interruption(String);

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Interruption {}

fn cause(reason: &str) -> Cause {
    Arc::new(Interruption(reason.to_owned()))
}
