//! The server of the cast scenario. It is the same for all peers, so that only publishing differs: it consumes the topic
//! without acknowledging or decoding the messages.

use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties, ExchangeKind,
    options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::amqp_url;

/// The default exchange of oslo's topics.
pub(super) const EXCHANGE: &str = "openstack";

pub(crate) async fn drain(url: &str, topic: &str) -> anyhow::Result<Connection> {
    let connection = Connection::connect(&amqp_url(url), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let topic = ShortString::from(topic);
    let table = FieldTable::default;
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, ExchangeDeclareOptions::default(), table()).await?;
    channel.queue_declare(topic.clone(), QueueDeclareOptions::default(), table()).await?;
    channel.queue_bind(topic.clone(), EXCHANGE.into(), topic.clone(), QueueBindOptions::default(), table()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = channel.basic_consume(topic, "".into(), options, table()).await?;
    tokio::spawn(async move { while consumer.next().await.is_some() {} });
    Ok(connection)
}
