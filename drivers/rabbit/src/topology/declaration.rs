//! Objects to declare on the broker.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use amq_protocol::types::FieldTable;

/// An object to declare.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Declaration {
    Exchange { name: String, fanout: bool, durable: bool, auto_delete: bool, mismatch: Mismatch },
    Queue { name: String, durable: bool, auto_delete: bool, arguments: FieldTable, mismatch: Mismatch },
    Binding { queue: String, exchange: String, routing_key: String },
}

impl Declaration {
    /// The treatment of an existing object with different properties; bindings have no properties.
    pub(crate) fn mismatch(&self) -> Option<&Mismatch> {
        match self {
            Self::Exchange { mismatch, .. } | Self::Queue { mismatch, .. } => Some(mismatch),
            Self::Binding { .. } => None,
        }
    }

    /// Kind and name, for errors and logs.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Exchange { name, .. } => format!("exchange `{name}`"),
            Self::Queue { name, .. } => format!("queue `{name}`"),
            Self::Binding { queue, exchange, routing_key } => {
                format!("binding of queue `{queue}` to exchange `{exchange}` by `{routing_key}`")
            }
        }
    }
}

/// The treatment of an existing queue or exchange with different properties (`on_declare_mismatch`).
#[derive(Clone, Debug, Default)]
pub(crate) enum Mismatch {
    /// An error.
    #[default]
    Fail,
    /// It is used as it is. Adopted objects are remembered, so that they are not declared again in vain.
    Adopt(Arc<Mutex<HashSet<String>>>),
}

impl PartialEq for Mismatch {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Fail, Self::Fail) | (Self::Adopt(_), Self::Adopt(_)))
    }
}

impl Mismatch {
    /// Whether `object` was adopted before.
    pub(crate) fn has_adopted(&self, object: &str) -> bool {
        match self {
            Self::Fail => false,
            Self::Adopt(known) => known.lock().unwrap_or_else(PoisonError::into_inner).contains(object),
        }
    }

    /// Adopts `object`; returns `false` if that is not allowed.
    pub(crate) fn adopt(&self, object: &str) -> bool {
        match self {
            Self::Fail => false,
            Self::Adopt(known) => {
                known.lock().unwrap_or_else(PoisonError::into_inner).insert(object.to_owned());
                true
            }
        }
    }

    /// Forgets `object`, which no longer exists.
    pub(crate) fn forget(&self, object: &str) {
        if let Self::Adopt(known) = self {
            known.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        }
    }
}

/// A binding by `routing_key`.
pub(super) fn binding(queue: &str, exchange: &str, routing_key: &str) -> Declaration {
    Declaration::Binding { queue: queue.to_owned(), exchange: exchange.to_owned(), routing_key: routing_key.to_owned() }
}
