//! Which message the broker closed a channel over. Pure.
//!
//! RabbitMQ processes the publishes of a channel in order and closes the channel at the first that it refuses. Its
//! `channel.close` does not identify the message, but its text names the exchange or the size; so the first message in
//! flight that matches the text is the refused one.

use oxlo_transport::TransportError;

use crate::{stream::ChannelClose, topology::Route};

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
/// Class and method of `basic.publish`.
const PUBLISH: (u16, u16) = (60, 40);

impl ChannelClose {
    /// The error of the refused message.
    pub(super) fn error(&self, route: &Route) -> TransportError {
        let advice = match self.code {
            ACCESS_REFUSED => "; the user needs write permission for the exchange",
            PRECONDITION_FAILED if self.size_limit().is_some() => {
                "; send less, or raise max_message_size in the broker's configuration"
            }
            _ => "",
        };
        let text = self.text.split(char::is_control).collect::<Vec<_>>().join(" ");
        TransportError::MessageRefused {
            exchange: route.exchange.as_str().into(),
            routing_key: route.routing_key.as_str().into(),
            code: self.code.to_string().into(),
            reason: format!("{text}{advice}").into(),
            may_pass: self.code == NOT_FOUND,
        }
    }

    /// Whether the exchange does not exist.
    pub(super) fn is_missing_exchange(&self) -> bool {
        self.code == NOT_FOUND
    }

    /// Whether the message was refused for its exchange.
    pub(super) fn is_about_exchange(&self) -> bool {
        matches!(self.code, ACCESS_REFUSED | NOT_FOUND)
    }

    /// The largest body in bytes that the broker accepts, if a larger one was refused.
    pub(super) fn size_limit(&self) -> Option<usize> {
        let (_, rest) = self.text.split_once("message size ").filter(|_| self.code == PRECONDITION_FAILED)?;
        rest.split_once("max size ")?.1.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    }

    /// Whether the text matches a message.
    fn matches(&self, candidate: Candidate<'_>) -> bool {
        // RabbitMQ's name of the default exchange.
        let exchange = if candidate.route.exchange.is_empty() { "amq.default" } else { &candidate.route.exchange };
        match self.code {
            ACCESS_REFUSED | NOT_FOUND => {
                let topic = format!("topic '{}' in exchange", candidate.route.routing_key);
                self.text.contains(&format!("exchange '{exchange}' in vhost"))
                    && (!self.text.contains("topic '") || self.text.contains(&topic))
            }
            PRECONDITION_FAILED => self.size_limit().is_some_and(|limit| candidate.size > limit),
            _ => false,
        }
    }
}

/// The parts of a message that the broker may refuse it for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(crate) route: &'a Route,
    pub(crate) size: usize,
}

/// What happened to a message that was in flight on a channel when the broker closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The broker processed it before the refused one.
    Accepted,
    /// The broker refused it, or would have for the same reason.
    Refused,
    /// The broker discarded it without processing it.
    Unprocessed,
    /// The text matches no message.
    Unknown,
}

/// Classifies all messages in flight, given in the order in which they were sent.
pub(super) fn classify(close: &ChannelClose, candidates: &[Candidate<'_>]) -> Vec<Fate> {
    let alone = candidates.len() == 1 && close.method == PUBLISH;
    let Some(first) = candidates.iter().position(|candidate| alone || close.matches(*candidate)) else {
        return vec![Fate::Unknown; candidates.len()];
    };
    let fate = |(index, candidate): (usize, &Candidate<'_>)| match index {
        index if index < first => Fate::Accepted,
        index if index == first || close.matches(*candidate) => Fate::Refused,
        _ => Fate::Unprocessed,
    };
    candidates.iter().enumerate().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::TopologyOptions;

    fn close(code: u16, text: &str) -> ChannelClose {
        ChannelClose { code, text: text.to_owned(), method: PUBLISH }
    }

    fn route(exchange: &str, routing_key: &str) -> Route {
        Route { exchange: exchange.to_owned(), ..TopologyOptions::reply_route(routing_key) }
    }

    fn judged(close: &ChannelClose, candidates: &[(&str, &str, usize)]) -> Vec<Fate> {
        let routes: Vec<_> = candidates.iter().map(|(exchange, key, size)| (route(exchange, key), *size)).collect();
        classify(close, &routes.iter().map(|(route, size)| Candidate { route, size: *size }).collect::<Vec<_>>())
    }

    use Fate::{Accepted, Refused, Unknown, Unprocessed};

    #[test]
    fn a_missing_exchange_is_found_by_its_name() {
        let close = close(404, "NOT_FOUND - no exchange 'a_fanout' in vhost '/'");
        let candidates =
            [("openstack", "t", 1), ("b_a_fanout", "", 1), ("a_fanout", "", 1), ("", "r", 1), ("a_fanout", "", 2)];
        assert_eq!(judged(&close, &candidates), [Accepted, Accepted, Refused, Unprocessed, Refused]);
    }

    #[test]
    fn permissions_are_those_of_an_exchange_or_of_a_topic() {
        // The texts of 3.10 and 4.0.
        for verb in ["access", "write access"] {
            let default = close(
                403,
                &format!("ACCESS_REFUSED - {verb} to exchange 'amq.default' in vhost '/' refused for user 'u'"),
            );
            let candidates = [("openstack", "t", 1), ("", "reply_1", 1), ("openstack", "t", 1)];
            assert_eq!(judged(&default, &candidates), [Accepted, Refused, Unprocessed]);
            let topic = close(
                403,
                &format!("ACCESS_REFUSED - {verb} to topic 't.b' in exchange 'nova' in vhost '/' refused for user 'u'"),
            );
            let candidates = [("nova", "t", 1), ("nova", "t.b", 1), ("nova", "t.b", 1)];
            assert_eq!(judged(&topic, &candidates), [Accepted, Refused, Refused]);
        }
    }

    #[test]
    fn a_size_is_compared_with_the_limit_that_the_broker_names() {
        for text in [
            "message size 2000073 is larger than configured max size 1000000",
            "message size 2000073 larger than max size 1000000",
        ] {
            let close = close(406, &format!("PRECONDITION_FAILED - {text}"));
            assert_eq!(close.size_limit(), Some(1_000_000));
            let candidates = [("x", "t", 1_000_000), ("x", "t", 1_000_001), ("x", "t", 9)];
            assert_eq!(judged(&close, &candidates), [Accepted, Refused, Unprocessed]);
        }
    }

    #[test]
    fn a_text_without_a_match_leaves_all_unknown_unless_there_is_only_one() {
        let close = close(406, "PRECONDITION_FAILED - invalid expiration '999'");
        assert_eq!(judged(&close, &[("x", "t", 1), ("x", "t", 1)]), [Unknown, Unknown]);
        assert_eq!(judged(&close, &[("x", "t", 1)]), [Refused]);
        let elsewhere = ChannelClose { method: (0, 0), ..close };
        assert_eq!(judged(&elsewhere, &[("x", "t", 1)]), [Unknown]);
        assert_eq!(judged(&elsewhere, &[]), []);
    }

    #[test]
    fn the_error_has_the_text_of_the_broker_and_advice() {
        let error = close(403, "ACCESS_REFUSED - no\nentry").error(&route("neutron", "x"));
        let text = "the broker refused the message for x (exchange `neutron`): ACCESS_REFUSED - no entry; the user needs write permission for the exchange";
        assert_eq!(error.to_string(), text);
        assert!(!error.may_have_run() && !error.is_retryable());
        assert!(close(404, "NOT_FOUND - no exchange").error(&route("x", "")).is_retryable());
    }
}
