//! The names of events on a broker, on which dispatcher and listener must agree.
//!
//! An event is a notification of priority `info` in the exchange of its source, with its type as the topic. Pools decide
//! which listeners receive it: the listeners of a pool share the events, and each pool receives all of them.

use oxlo_transport::{Target, TransportError};

/// How many of an event's listeners receive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One instance of each service: nameko's `SERVICE_POOL`.
    ServicePool,
    /// Every instance of every service: nameko's `BROADCAST`.
    Broadcast,
    /// Exactly one instance among all services: nameko's `SINGLETON`.
    Singleton,
}

impl Reach {
    /// The name, as in pools.
    fn as_str(self) -> &'static str {
        match self {
            Self::ServicePool => "service",
            Self::Broadcast => "broadcast",
            Self::Singleton => "singleton",
        }
    }
}

/// The target of the events of one source and type.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if a name is empty, or has a word `*` or `#`, which are wildcards of brokers.
pub(crate) fn target(source: &str, event_type: &str) -> Result<Target, TransportError> {
    check("the event's source", source)?;
    check("the event's type", event_type)?;
    Ok(Target::topic(event_type).exchange(format!("events.{source}")))
}

/// The pool of the listeners that share events: of one service and handler name, of one instance, or of all.
///
/// # Errors
///
/// As [`target`].
pub(crate) fn pool(source: &str, event_type: &str, reach: Reach, members: &[&str]) -> Result<String, TransportError> {
    check("the event's source", source)?;
    check("the event's type", event_type)?;
    let mut name = format!("events.{source}:{event_type}:{}", reach.as_str());
    for member in members {
        check("a listener's name", member)?;
        name.push(':');
        name.push_str(member);
    }
    Ok(name)
}

fn check(what: &str, name: &str) -> Result<(), TransportError> {
    let reason = if name.is_empty() {
        format!("{what} is empty")
    } else if name.split('.').any(|word| word == "*" || word == "#") {
        format!("{what} `{name}` contains a wildcard word (`*` or `#`)")
    } else {
        return Ok(());
    };
    Err(TransportError::InvalidTarget { reason })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_exchanges_and_types_are_topics() {
        assert_eq!(target("shop", "order.paid").unwrap(), Target::topic("order.paid").exchange("events.shop"));
    }

    #[test]
    fn pools_differ_by_reach_and_member() {
        let name = |reach, members: &[&str]| pool("shop", "paid", reach, members).unwrap();
        assert_eq!(name(Reach::ServicePool, &["billing", "book"]), "events.shop:paid:service:billing:book");
        assert_eq!(name(Reach::Singleton, &[]), "events.shop:paid:singleton");
        assert_ne!(name(Reach::ServicePool, &["x"]), name(Reach::Broadcast, &["x"]));
    }

    #[test]
    fn wildcards_and_empty_names_are_refused_by_name() {
        let refused = target("shop", "order.*").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the target cannot be used: the event's type `order.*` contains a wildcard word (`*` or `#`)"
        );
        assert!(target("", "paid").unwrap_err().to_string().contains("source is empty"));
        assert!(pool("shop", "paid", Reach::ServicePool, &["#"]).is_err());
        assert!(target("shop", "order*").is_ok(), "only a whole word is a wildcard");
    }
}
