//! Names of exchanges, topics and pools for events, which senders and receivers must agree on.
//!
//! An event is a notification of priority `info` in the exchange of its source, under the topic of its type. Pools decide
//! who receives it: every pool receives each event, and its members share them.

use crate::{error::TransportError, target::Target};

/// Which listeners of an event receive it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// One instance of each service: nameko's `SERVICE_POOL`.
    #[default]
    ServicePool,
    /// Every instance of every service: nameko's `BROADCAST`.
    Broadcast,
    /// Exactly one instance among all services: nameko's `SINGLETON`.
    Singleton,
}

impl Reach {
    /// The name in lower case, as used in queue names and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServicePool => "service",
            Self::Broadcast => "broadcast",
            Self::Singleton => "singleton",
        }
    }
}

/// The target of the events of one type from one source.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if a name is empty, or one of its dotted words is `*` or `#`, which brokers treat as
/// wildcards.
pub fn target(source: &str, event_type: &str) -> Result<Target, TransportError> {
    check("the event's source", source)?;
    check("the event's type", event_type)?;
    Ok(Target::topic(event_type).exchange(format!("events.{source}")))
}

/// The name of the pool that `members` identify: of one service and handler, of one instance, or of all services.
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
