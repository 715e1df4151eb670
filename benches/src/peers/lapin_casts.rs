//! Hand-written confirmed publishes on lapin: many tasks share one channel, and each waits for its own confirm.

use std::sync::Arc;

use anyhow::ensure;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};

use super::{Client, EchoArgs, Request, amqp_url, sink::EXCHANGE};

#[derive(Clone)]
pub(crate) struct LapinCasts {
    channel: Channel,
    topic: ShortString,
    _connection: Arc<Connection>,
}

pub(crate) async fn connect(url: &str, topic: &str) -> anyhow::Result<LapinCasts> {
    let connection = Connection::connect(&amqp_url(url), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(LapinCasts { channel, topic: topic.into(), _connection: Arc::new(connection) })
}

impl Client for LapinCasts {
    async fn cast(&self, text: &str) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?;
        let properties = BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let (exchange, topic) = (EXCHANGE.into(), self.topic.clone());
        let confirm = self.channel.basic_publish(exchange, topic, options, &body, properties).await?.await?;
        ensure!(matches!(confirm, Confirmation::Ack(_)), "the broker did not accept the message");
        Ok(())
    }
}
