//! Counting the consumers of a queue.

use std::time::Duration;

use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use oxlo_driver_kit::{link::connected, send_budget::SendBudget};
use oxlo_transport::TransportError;
use tokio::time::{sleep, timeout_at};

use crate::{
    connection::{Link, Session},
    error,
    topology::short_string,
};

/// Consumers of a queue; 0 if it does not exist. The queue is not changed.
///
/// Asks on the consuming connection, which no alarm of the broker stops.
///
/// # Errors
///
/// `Unreachable` if the broker did not answer in time, `Topology` if it refuses, `Closed`.
pub(crate) async fn of_queue(link: &Link, queue: &str, budget: &SendBudget) -> Result<u32, TransportError> {
    link.begin();
    let mut state = link.state();
    let asked = async {
        loop {
            let Some(session) = connected(&mut state).await else { return Err(TransportError::Closed) };
            match session.meanwhile(ask(&session, queue)).await {
                Ok(count) => return Ok(count),
                Err(failed) => {
                    if let Some(refused) = error::topology(&format!("queue `{queue}`"), &failed) {
                        return Err(refused);
                    }
                }
            }
            // The connection was lost; its state follows in a moment.
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout_at(budget.deadline, asked).await.unwrap_or_else(|_| Err(link.unreachable(budget.begun, None)))
}

async fn ask(session: &Session, queue: &str) -> lapin::Result<u32> {
    let channel = session.channel().await?;
    match consumers(&channel, queue).await {
        Err(failed) if error::is_not_found(&failed) => Ok(0),
        asked => asked,
    }
}

/// Consumers of a queue that exists; if it does not, the broker closes the channel.
pub(crate) async fn consumers(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let name = short_string(queue).unwrap_or_default();
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(name, passive, FieldTable::default()).await?.consumer_count())
}
