//! Behaviour of fe2o3-amqp that the driver relies on and that fe2o3-amqp does not document, as seen in fe2o3-amqp
//! 0.18.4 with serde_amqp 0.18.0.
//!
//! Each item names the behaviour, what depends on it, and the test that fails when fe2o3-amqp changes. The tests are in
//! `stream/tests/`; one of them also fails when the locked version is another one, so that an update is noticed even if
//! every behaviour seems to be the same.
//!
//! | fe2o3-amqp | the driver | test |
//! |---|---|---|
//! | parses values recursively, as deep as they are nested | `stream/guard` checks performatives, and passes messages as bytes | `deep_messages` |
//! | misreads empty arrays and arrays of compound values | `encoding/length.rs`, `Reader::SerdeAmqp` | `internals` |
//! | takes the lowest free channel number for a new session | `stream/channel_numbers.rs` chooses the number on the wire | `internals` |
//! | waits for the begin of a session without a limit | `StreamHandle::abandon_session` | |
//! | ends a link that gets more deliveries than its credit | [`SURPLUS`] | |
//! | refuses a sender and a receiver with one name on one session | [`PAIR_SENDER`] and [`PAIR_RECEIVER`] | `internals` |
//! | keeps the unsettled messages of a link that was detached and not closed | `stream/guard` turns a detach into a close | |
//! | looks up every id in the range of a disposition | `stream/guard/bounds.rs` | |
//! | writes a frame with one call of `poll_write`, and flushes after it | `stream/outbound.rs`; flushing is left to reading | `internals`, `gathering` |
//! | encodes the maximum frame size of its open with four bytes | `stream/outbound.rs` reduces it by [`GROWTH`] | `internals` |
//! | encodes a message of one binary as a single data section | `stream/outbound.rs` removes the section's head | `guarding` |
//! | sends an empty frame as often as the peer's idle timeout asks | `stream/guard` raises it to [`MIN_IDLE_TIMEOUT_MS`] | |
//! | keeps only the text of an I/O error | `StreamHandle::failure` | |

/// The version of fe2o3-amqp on which all of this was seen.
#[cfg(test)]
pub(crate) const VERSION: &str = "0.18.4";

/// The deliveries beyond its credit that fe2o3-amqp accepts on each link. It is told of a credit that is larger by this
/// number, and the stream subtracts the number again.
///
/// fe2o3-amqp counts every delivery against the credit that it last sent, and ends a link that gets more. RabbitMQ 3
/// sends more when credit reaches it while it is sending, and any broker may have sent deliveries before it sees that
/// credit was withdrawn.
pub(crate) const SURPLUS: u32 = 1 << 30;

/// How many bytes the stream adds to a frame at most: a payload is wrapped, or a detach becomes a close.
pub(crate) const GROWTH: u32 = 16;

/// The shortest idle timeout in milliseconds that reaches fe2o3-amqp.
pub(crate) const MIN_IDLE_TIMEOUT_MS: u8 = 100;

/// The name of the sender of a request-response pair in fe2o3-amqp. It differs from [`PAIR_RECEIVER`] in its last
/// letter only, and on the wire both have the name [`PAIR`].
pub(crate) const PAIR_SENDER: &str = "openstack.org/om/management/s";
/// The name of the receiver of a pair, see [`PAIR_SENDER`].
pub(crate) const PAIR_RECEIVER: &str = "openstack.org/om/management/r";
/// The name of both links of a pair on the wire: RabbitMQ's management requires one name.
pub(crate) const PAIR: &str = "openstack.org/om/management/p";
