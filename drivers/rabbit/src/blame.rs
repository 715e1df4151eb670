//! Which message the broker closed a channel over: pure.
//!
//! RabbitMQ works through the publishes of a channel in order, and ends the channel at the first that it refuses. Its
//! `channel.close` does not say which one that was, but its text names the exchange or the size, so that the first message
//! in flight that fits the text is the one.

use std::fmt;

use oxlo_transport::TransportError;

use crate::topology::Route;

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
/// Class and method of `basic.publish`.
const PUBLISH: (u16, u16) = (60, 40);

/// What the broker says when it closes a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelClose {
    pub(crate) code: u16,
    pub(crate) text: String,
    /// The method that it was about; zeros if none.
    pub(crate) method: (u16, u16),
}

impl ChannelClose {
    /// Of the arguments of `channel.close`. What is cut short counts as empty: the channel is closed all the same.
    pub(crate) fn of(arguments: &[u8]) -> Self {
        let number = |bytes: &[u8], at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let length = arguments.get(2).copied().map_or(0, usize::from);
        let text = arguments.get(3..3 + length).unwrap_or_default();
        let method = arguments.get(3 + length..).unwrap_or_default();
        Self {
            code: number(arguments, 0).unwrap_or_default(),
            text: String::from_utf8_lossy(text).into_owned(),
            method: number(method, 0).zip(number(method, 2)).unwrap_or_default(),
        }
    }

    /// The error of the message that the channel was closed over.
    pub(crate) fn error(&self, route: &Route) -> TransportError {
        let advice = match self.code {
            ACCESS_REFUSED => "; the user needs write permission for the exchange",
            PRECONDITION_FAILED if self.limit().is_some() => {
                "; send less, or raise max_message_size in the broker's configuration"
            }
            _ => "",
        };
        let text = self.text.split(char::is_control).collect::<Vec<_>>().join(" ");
        TransportError::MessageRefused {
            exchange: route.exchange.clone(),
            routing_key: route.routing_key.clone(),
            code: self.code.to_string(),
            reason: format!("{text}{advice}"),
            may_pass: self.code == NOT_FOUND,
        }
    }

    /// Whether an exchange that does not exist was the cause.
    pub(crate) fn is_missing_exchange(&self) -> bool {
        self.code == NOT_FOUND
    }

    /// Whether it was the exchange that the message was for.
    pub(crate) fn is_about_exchange(&self) -> bool {
        matches!(self.code, ACCESS_REFUSED | NOT_FOUND)
    }

    /// The largest body that the broker takes, if a larger one was the cause.
    pub(crate) fn limit(&self) -> Option<usize> {
        let (_, rest) = self.text.split_once("message size ").filter(|_| self.code == PRECONDITION_FAILED)?;
        rest.split_once("max size ")?.1.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    }

    /// Whether a message that is sent so is among those that the text is about.
    fn is_about(&self, letter: Letter<'_>) -> bool {
        // As RabbitMQ names the default exchange.
        let exchange = if letter.route.exchange.is_empty() { "amq.default" } else { &letter.route.exchange };
        match self.code {
            ACCESS_REFUSED | NOT_FOUND => {
                let topic = format!("topic '{}' in exchange", letter.route.routing_key);
                self.text.contains(&format!("exchange '{exchange}' in vhost"))
                    && (!self.text.contains("topic '") || self.text.contains(&topic))
            }
            PRECONDITION_FAILED => self.limit().is_some_and(|limit| letter.size > limit),
            _ => false,
        }
    }
}

impl fmt::Display for ChannelClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text, self.code)
    }
}

/// What of a message the broker can have something against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) route: &'a Route,
    pub(crate) size: usize,
}

/// What became of a message that was in flight on a channel when the broker closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker worked through it before it came upon the one that it refused.
    Taken,
    /// The broker refuses it, or would in its turn, for the same reason.
    Refused,
    /// The broker threw it away unseen.
    Unseen,
    /// Nothing is known.
    Unknown,
}

/// Judges all messages that were in flight, in the order in which they were sent.
pub(crate) fn judge(close: &ChannelClose, letters: &[Letter<'_>]) -> Vec<Verdict> {
    let alone = letters.len() == 1 && close.method == PUBLISH;
    let Some(first) = letters.iter().position(|letter| alone || close.is_about(*letter)) else {
        return vec![Verdict::Unknown; letters.len()];
    };
    let verdict = |(place, letter): (usize, &Letter<'_>)| match place {
        place if place < first => Verdict::Taken,
        place if place == first || close.is_about(*letter) => Verdict::Refused,
        _ => Verdict::Unseen,
    };
    letters.iter().enumerate().map(verdict).collect()
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

    fn judged(close: &ChannelClose, letters: &[(&str, &str, usize)]) -> Vec<Verdict> {
        let routes: Vec<_> = letters.iter().map(|(exchange, key, size)| (route(exchange, key), *size)).collect();
        judge(close, &routes.iter().map(|(route, size)| Letter { route, size: *size }).collect::<Vec<_>>())
    }

    use Verdict::{Refused, Taken, Unknown, Unseen};

    #[test]
    fn the_close_of_a_broker_is_read_as_far_as_it_goes() {
        let mut arguments = vec![1, 147, 3];
        arguments.extend_from_slice(b"abc\0\x3c\0\x28");
        let whole = ChannelClose { code: 403, text: "abc".to_owned(), method: PUBLISH };
        assert_eq!(ChannelClose::of(&arguments), whole);
        assert_eq!(ChannelClose::of(&arguments[..8]), ChannelClose { method: (0, 0), ..whole });
        assert_eq!(ChannelClose::of(&arguments[..4]), ChannelClose { code: 403, ..ChannelClose::default() });
        assert_eq!(ChannelClose::of(&[]), ChannelClose::default());
    }

    #[test]
    fn a_missing_exchange_is_found_by_its_name() {
        let close = close(404, "NOT_FOUND - no exchange 'a_fanout' in vhost '/'");
        let letters =
            [("openstack", "t", 1), ("b_a_fanout", "", 1), ("a_fanout", "", 1), ("", "r", 1), ("a_fanout", "", 2)];
        assert_eq!(judged(&close, &letters), [Taken, Taken, Refused, Unseen, Refused]);
    }

    #[test]
    fn permissions_are_those_of_an_exchange_or_of_a_topic() {
        // 3.10 and 4.0 in their words.
        for verb in ["access", "write access"] {
            let default = close(
                403,
                &format!("ACCESS_REFUSED - {verb} to exchange 'amq.default' in vhost '/' refused for user 'u'"),
            );
            let letters = [("openstack", "t", 1), ("", "reply_1", 1), ("openstack", "t", 1)];
            assert_eq!(judged(&default, &letters), [Taken, Refused, Unseen]);
            let topic = close(
                403,
                &format!("ACCESS_REFUSED - {verb} to topic 't.b' in exchange 'nova' in vhost '/' refused for user 'u'"),
            );
            let letters = [("nova", "t", 1), ("nova", "t.b", 1), ("nova", "t.b", 1)];
            assert_eq!(judged(&topic, &letters), [Taken, Refused, Refused]);
        }
    }

    #[test]
    fn a_size_is_compared_with_the_limit_that_the_broker_names() {
        for text in [
            "message size 2000073 is larger than configured max size 1000000",
            "message size 2000073 larger than max size 1000000",
        ] {
            let close = close(406, &format!("PRECONDITION_FAILED - {text}"));
            assert_eq!(close.limit(), Some(1_000_000));
            let letters = [("x", "t", 1_000_000), ("x", "t", 1_000_001), ("x", "t", 9)];
            assert_eq!(judged(&close, &letters), [Taken, Refused, Unseen]);
        }
    }

    #[test]
    fn a_text_that_fits_none_leaves_all_in_doubt_unless_there_is_only_one() {
        let close = close(406, "PRECONDITION_FAILED - invalid expiration '999'");
        assert_eq!(judged(&close, &[("x", "t", 1), ("x", "t", 1)]), [Unknown, Unknown]);
        assert_eq!(judged(&close, &[("x", "t", 1)]), [Refused]);
        let elsewhere = ChannelClose { method: (0, 0), ..close };
        assert_eq!(judged(&elsewhere, &[("x", "t", 1)]), [Unknown]);
        assert_eq!(judged(&elsewhere, &[]), []);
    }

    #[test]
    fn the_error_has_the_brokers_words_and_says_what_to_do() {
        let error = close(403, "ACCESS_REFUSED - no\nentry").error(&route("neutron", "x"));
        let text = "the broker refused the message for x (exchange `neutron`): ACCESS_REFUSED - no entry; the user needs write permission for the exchange";
        assert_eq!(error.to_string(), text);
        assert!(!error.may_have_run() && !error.is_retryable());
        assert!(close(404, "NOT_FOUND - no exchange").error(&route("x", "")).is_retryable());
    }
}
