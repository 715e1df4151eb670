//! The exchanges, queues and bindings of oslo, and the routes of messages. Pure.
//!
//! All peers must declare an object with the same arguments, or the broker refuses the later declaration; so these
//! follow `oslo_messaging._drivers.impl_rabbit` exactly.

mod declaration;
mod route;
mod subscription;

use std::time::Duration;

use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use declaration::binding;
pub(crate) use declaration::{Declaration, Mismatch};
use oxlo_transport::TransportError;
pub(crate) use route::Route;
pub(crate) use subscription::Subscription;

/// The options that determine the objects on the broker.
#[derive(Clone, Debug)]
pub(crate) struct TopologyOptions {
    /// `amqp_durable_queues`
    pub(crate) durable: bool,
    /// `amqp_auto_delete`
    pub(crate) auto_delete: bool,
    /// `rabbit_ha_queues`
    pub(crate) highly_available: bool,
    /// `rabbit_quorum_queue` with its limits
    pub(crate) quorum: Option<Quorum>,
    /// `rabbit_transient_quorum_queue` with the same limits
    pub(crate) transient_quorum: Option<Quorum>,
    /// `rabbit_transient_queues_ttl`; with zero, fanout and reply queues never expire
    pub(crate) transient_ttl: Duration,
    /// `rabbit_stream_fanout`
    pub(crate) stream_fanout: bool,
    /// `on_declare_mismatch`
    pub(crate) mismatch: Mismatch,
}

/// Limits of quorum queues; zero means the broker's default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quorum {
    pub(crate) delivery_limit: i32,
    pub(crate) max_memory_length: i32,
    pub(crate) max_memory_bytes: i32,
}

impl Quorum {
    fn add_to(&self, arguments: &mut FieldTable) {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        for (name, limit) in [
            ("x-delivery-limit", self.delivery_limit),
            ("x-max-in-memory-length", self.max_memory_length),
            ("x-max-in-memory-bytes", self.max_memory_bytes),
        ] {
            if limit > 0 {
                arguments.insert(name.into(), AMQPValue::LongInt(limit));
            }
        }
    }
}

impl TopologyOptions {
    fn durable(&self) -> bool {
        self.durable || self.quorum.is_some()
    }

    fn exchange(&self, name: &str) -> Declaration {
        Declaration::Exchange {
            name: name.to_owned(),
            fanout: false,
            durable: self.durable(),
            auto_delete: self.auto_delete,
            mismatch: self.mismatch.clone(),
        }
    }

    fn fanout_exchange(&self, topic: &str) -> Declaration {
        Declaration::Exchange {
            name: format!("{topic}_fanout"),
            fanout: true,
            durable: self.transient_quorum.is_some() || self.stream_fanout,
            auto_delete: true,
            mismatch: self.mismatch.clone(),
        }
    }

    fn queue(&self, name: &str) -> Declaration {
        let mut arguments = FieldTable::default();
        if self.highly_available {
            arguments.insert("x-ha-policy".into(), AMQPValue::LongString("all".into()));
        }
        if let Some(quorum) = &self.quorum {
            quorum.add_to(&mut arguments);
        }
        let (durable, auto_delete) = (self.durable(), self.auto_delete);
        Declaration::Queue { name: name.to_owned(), durable, auto_delete, arguments, mismatch: self.mismatch.clone() }
    }

    fn transient_queue(&self, name: &str) -> Declaration {
        let mut arguments = FieldTable::default();
        if self.highly_available {
            arguments.insert("x-ha-policy".into(), AMQPValue::LongString("all".into()));
        }
        if let Some(quorum) = &self.transient_quorum {
            quorum.add_to(&mut arguments);
        }
        if !self.transient_ttl.is_zero() {
            let milliseconds = i32::try_from(self.transient_ttl.as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-expires".into(), AMQPValue::LongInt(milliseconds));
        }
        Declaration::Queue {
            name: name.to_owned(),
            durable: self.transient_quorum.is_some(),
            auto_delete: false,
            arguments,
            mismatch: self.mismatch.clone(),
        }
    }

    /// The stream that all servers of a topic read.
    fn stream_queue(&self, name: &str) -> Declaration {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        if !self.transient_ttl.is_zero() {
            let age = format!("{}s", self.transient_ttl.as_secs().max(1));
            arguments.insert("x-max-age".into(), AMQPValue::LongString(age.into()));
        }
        let mismatch = self.mismatch.clone();
        Declaration::Queue { name: name.to_owned(), durable: true, auto_delete: false, arguments, mismatch }
    }

    fn bound_queue(&self, declares: &mut Vec<Declaration>, exchange: &str, name: &str) {
        declares.push(self.exchange(exchange));
        declares.push(self.queue(name));
        declares.push(binding(name, exchange, name));
    }

    /// The queue for replies.
    pub(crate) fn reply_queue(&self, name: &str) -> Declaration {
        self.transient_queue(name)
    }
}

/// A name as a short string.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if it is longer than 255 bytes.
pub(crate) fn short_string(name: &str) -> Result<ShortString, TransportError> {
    check_length(name)?;
    Ok(ShortString::from(name))
}

/// Checks that a name fits into a short string.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if it is longer than 255 bytes.
pub(crate) fn check_length(name: &str) -> Result<(), TransportError> {
    if name.len() <= 255 {
        return Ok(());
    }
    Err(TransportError::InvalidTarget {
        reason: format!(
            "name `{}…` has {} bytes, but names of queues and exchanges have at most 255; shorten the topic or the server",
            name.chars().take(32).collect::<String>(),
            name.len()
        ),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
