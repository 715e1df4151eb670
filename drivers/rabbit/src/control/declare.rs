//! Declares the exchanges, queues and bindings of [`topology`](crate::topology), on a channel of its own: the broker
//! closes the channel when it refuses a declaration.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use oxlo_transport::{Removal, TransportError, limited};

use crate::{
    connection::Session,
    control::channels::OpenChannel,
    error,
    topology::{Declaration, short_string},
};

/// How often a sequence of declarations is repeated when an object vanished between two of them: an auto-delete
/// exchange, a queue that expired.
const MAX_RACES: usize = 3;

/// Why a sequence of declarations failed.
#[derive(Debug)]
pub(crate) enum DeclareError {
    /// The broker refused, and would again.
    Refused(TransportError),
    /// The channel or the connection was lost.
    Lost(lapin::Error),
}

impl DeclareError {
    /// From the error of opening a channel: a limit of the broker is a refusal.
    pub(crate) fn no_channel(session: &Session, failed: lapin::Error) -> Self {
        session.channel_limit(&failed).map_or(Self::Lost(failed), Self::Refused)
    }
}

impl From<lapin::Error> for DeclareError {
    fn from(error: lapin::Error) -> Self {
        Self::Lost(error)
    }
}

/// Declares everything in order, on `channel` if it is still open, else on a new one. Returns the channel.
pub(crate) async fn declare_all(
    session: &Session,
    mut channel: Option<OpenChannel>,
    declares: &[Declaration],
) -> Result<OpenChannel, DeclareError> {
    let (mut races, mut adopted_now) = (0, 0);
    'again: loop {
        let channel = match channel.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => session.channel().await.map_err(|failed| DeclareError::no_channel(session, failed))?,
        };
        for object in declares {
            let adopted = object.mismatch().filter(|mismatch| mismatch.has_adopted(&object.describe()));
            let Err(failed) = declare(&channel, object, adopted.is_some()).await else { continue };
            if error::is_not_found(&failed) && races < MAX_RACES {
                races += 1;
                // The adopted object is gone; declare it with its proper arguments.
                if let Some(adopted) = adopted {
                    adopted.forget(&object.describe());
                }
                continue 'again;
            }
            if error::is_mismatch(&failed)
                && adopted_now < declares.len()
                && object.mismatch().is_some_and(|mismatch| mismatch.adopt(&object.describe()))
            {
                adopted_now += 1;
                limited!(
                    warn,
                    "it exists with different properties, adopting it",
                    object = %object.describe(),
                    broker = error::text(&failed)
                );
                continue 'again;
            }
            return Err(match error::topology(&object.describe(), &failed) {
                Some(refused) => DeclareError::Refused(refused),
                None => DeclareError::Lost(failed),
            });
        }
        return Ok(channel);
    }
}

/// Declares one object that was declared before; an adopted object is only checked for existence.
pub(crate) async fn declare_on(channel: &Channel, object: &Declaration) -> lapin::Result<()> {
    let adopted = object.mismatch().is_some_and(|mismatch| mismatch.has_adopted(&object.describe()));
    declare(channel, object, adopted).await
}

/// Checks that a queue with an exclusive name has no consumer.
pub(crate) async fn check_unused(channel: &Channel, queue: &str) -> Result<(), DeclareError> {
    let name = short_string(queue).map_err(DeclareError::Refused)?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(name, passive, FieldTable::default()).await.map_err(DeclareError::Lost)?;
    if found.consumer_count() == 0 {
        return Ok(());
    }
    Err(DeclareError::Refused(TransportError::Topology {
        object: format!("queue `{queue}`"),
        reason:
            "another process consumes it: two processes have the same hostname and processname (use_queue_manager); \
                 change one of them, or wait until the broker notices that the other process is gone"
                .to_owned(),
    }))
}

/// Deletes a queue without consumers. A missing queue counts as deleted.
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

/// Declares one object; `passive` only checks that it exists, whatever its properties.
async fn declare(channel: &Channel, object: &Declaration, passive: bool) -> lapin::Result<()> {
    let name = |name: &str| short_string(name).unwrap_or_default();
    match object {
        Declaration::Exchange { name: exchange, fanout, durable, auto_delete, .. } => {
            let kind = if *fanout { ExchangeKind::Fanout } else { ExchangeKind::Topic };
            let options = ExchangeDeclareOptions {
                passive,
                durable: *durable,
                auto_delete: *auto_delete,
                ..ExchangeDeclareOptions::default()
            };
            channel.exchange_declare(name(exchange), kind, options, FieldTable::default()).await
        }
        Declaration::Queue { name: queue, durable, auto_delete, arguments, .. } => {
            let (durable, auto_delete) = (*durable, *auto_delete);
            let options = QueueDeclareOptions { passive, durable, auto_delete, ..QueueDeclareOptions::default() };
            channel.queue_declare(name(queue), options, arguments.clone()).await.map(drop)
        }
        Declaration::Binding { queue, exchange, routing_key } => {
            let options = QueueBindOptions::default();
            channel.queue_bind(name(queue), name(exchange), name(routing_key), options, FieldTable::default()).await
        }
    }
}
