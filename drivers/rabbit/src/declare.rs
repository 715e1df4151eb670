//! Declaring what [`topology`](crate::topology) says, on a channel that nothing else depends on: the broker ends the
//! channel when it refuses a declaration.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use oxlo_transport::{Removal, TransportError, limited};

use crate::{
    channels::OpenChannel,
    connection::Session,
    error,
    topology::{Declare, short_string},
};

/// How often a whole sequence is made again when something vanished between two of its steps: an exchange that deletes
/// itself, a queue that expires.
const RACES: usize = 3;

/// Why a sequence of declarations failed.
#[derive(Debug)]
pub(crate) enum DeclareError {
    /// The broker refuses; it will again.
    Refused(TransportError),
    /// The channel or the connection is gone.
    Lost(lapin::Error),
}

impl DeclareError {
    /// No channel to declare anything on.
    pub(crate) fn no_channel(session: &Session, failed: lapin::Error) -> Self {
        session.channel_limit(&failed).map_or(Self::Lost(failed), Self::Refused)
    }
}

impl From<lapin::Error> for DeclareError {
    fn from(error: lapin::Error) -> Self {
        Self::Lost(error)
    }
}

/// Declares everything in order, on `channel` if it still stands, else on a new one. Gives the channel it was done on.
pub(crate) async fn declare_all(
    session: &Session,
    mut channel: Option<OpenChannel>,
    declares: &[Declare],
) -> Result<OpenChannel, DeclareError> {
    let (mut races, mut adopted_now) = (0, 0);
    'again: loop {
        let channel = match channel.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => session.channel().await.map_err(|failed| DeclareError::no_channel(session, failed))?,
        };
        for declare in declares {
            let adopted = declare.mismatch().filter(|mismatch| mismatch.has_adopted(&declare.describe()));
            let Err(failed) = one(&channel, declare, adopted.is_some()).await else { continue };
            if error::is_not_found(&failed) && races < RACES {
                races += 1;
                // What was adopted is gone, and is declared as it should be.
                if let Some(adopted) = adopted {
                    adopted.forget(&declare.describe());
                }
                continue 'again;
            }
            if error::is_mismatch(&failed)
                && adopted_now < declares.len()
                && declare.mismatch().is_some_and(|mismatch| mismatch.adopt(&declare.describe()))
            {
                adopted_now += 1;
                limited!(
                    warn,
                    "it is there with other properties, and used as it is",
                    object = %declare.describe(),
                    broker = error::text(&failed)
                );
                continue 'again;
            }
            return Err(match error::topology(&declare.describe(), &failed) {
                Some(refused) => DeclareError::Refused(refused),
                None => DeclareError::Lost(failed),
            });
        }
        return Ok(channel);
    }
}

/// Declares one object on a channel, as it was declared before: with what the broker has, if that was adopted.
pub(crate) async fn declare_on(channel: &Channel, declare: &Declare) -> lapin::Result<()> {
    let adopted = declare.mismatch().is_some_and(|mismatch| mismatch.has_adopted(&declare.describe()));
    one(channel, declare, adopted).await
}

/// Checks that nobody consumes a queue whose name is to be ours alone.
pub(crate) async fn unused(channel: &Channel, queue: &str) -> Result<(), DeclareError> {
    let name = short_string(queue).map_err(DeclareError::Refused)?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(name, passive, FieldTable::default()).await.map_err(DeclareError::Lost)?;
    if found.consumer_count() == 0 {
        return Ok(());
    }
    Err(DeclareError::Refused(TransportError::Topology {
        object: format!("queue `{queue}`"),
        reason: "another process consumes it already, so two processes have the same hostname and processname \
                 (use_queue_manager); give this one others, or wait until the broker has noticed that the other is gone"
            .to_owned(),
    }))
}

/// Deletes a queue that nobody consumes. One that is not there is deleted already.
pub(crate) async fn delete_unused(channel: &Channel, queue: &str, removal: Removal) -> Result<(), DeclareError> {
    let name = short_string(queue).map_err(DeclareError::Refused)?;
    let options =
        QueueDeleteOptions { if_unused: true, if_empty: removal == Removal::IfEmpty, ..QueueDeleteOptions::default() };
    match channel.queue_delete(name, options).await {
        Ok(_) => Ok(()),
        Err(failed) if error::is_not_found(&failed) => Ok(()),
        Err(failed) => Err(match error::removal(queue, &failed) {
            Some(refused) => DeclareError::Refused(refused),
            None => DeclareError::Lost(failed),
        }),
    }
}

/// Declares it; `passive`: asks whether it is there, with whatever properties.
async fn one(channel: &Channel, declare: &Declare, passive: bool) -> lapin::Result<()> {
    let name = |name: &str| short_string(name).unwrap_or_default();
    match declare {
        Declare::Exchange { name: exchange, fanout, durable, auto_delete, .. } => {
            let kind = if *fanout { ExchangeKind::Fanout } else { ExchangeKind::Topic };
            let options = ExchangeDeclareOptions {
                passive,
                durable: *durable,
                auto_delete: *auto_delete,
                ..ExchangeDeclareOptions::default()
            };
            channel.exchange_declare(name(exchange), kind, options, FieldTable::default()).await
        }
        Declare::Queue { name: queue, durable, auto_delete, arguments, .. } => {
            let (durable, auto_delete) = (*durable, *auto_delete);
            let options = QueueDeclareOptions { passive, durable, auto_delete, ..QueueDeclareOptions::default() };
            channel.queue_declare(name(queue), options, arguments.clone()).await.map(drop)
        }
        Declare::Binding { queue, exchange, routing_key } => {
            let options = QueueBindOptions::default();
            channel.queue_bind(name(queue), name(exchange), name(routing_key), options, FieldTable::default()).await
        }
    }
}
