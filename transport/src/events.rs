//! What events are called on a broker: the names that the sending and the receiving side must agree on.
//!
//! An event is a notification of priority `info` in an exchange of its source, under a topic of its type. Who receives
//! it is a matter of pools: those who share a pool share the events, and each pool gets all of them.

use crate::{error::TransportError, target::Target};

/// How many of the listeners to an event get it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// One instance of each service: nameko's `SERVICE_POOL`.
    #[default]
    ServicePool,
    /// Every instance of every service: nameko's `BROADCAST`.
    Broadcast,
    /// Exactly one instance of all services together: nameko's `SINGLETON`.
    Singleton,
}

impl Reach {
    /// The name in lower case, as queues and metrics say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServicePool => "service",
            Self::Broadcast => "broadcast",
            Self::Singleton => "singleton",
        }
    }
}

/// Where the events of one type of one source go.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if a name is empty, or has a `*` or `#`: brokers take these as wildcards.
pub fn target(source: &str, event_type: &str) -> Result<Target, TransportError> {
    check("the event's source", source)?;
    check("the event's type", event_type)?;
    Ok(Target::topic(event_type).exchange(format!("events.{source}")))
}

/// The pool of those who share the events: of one service under one handler's name, of one instance, or of all.
///
/// # Errors
///
/// As [`target`].
pub fn pool(source: &str, event_type: &str, reach: Reach, members: &[&str]) -> Result<String, TransportError> {
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
        format!("{what} `{name}` has a word that is a wildcard for brokers")
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
            "the target cannot be used: the event's type `order.*` has a word that is a wildcard for brokers"
        );
        assert!(target("", "paid").unwrap_err().to_string().contains("source is empty"));
        assert!(pool("shop", "paid", Reach::ServicePool, &["#"]).is_err());
        assert!(target("shop", "order*").is_ok(), "only a whole word is a wildcard");
    }
}
