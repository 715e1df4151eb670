//! The guide: how to write, run and move services, chapter by chapter. Every example in it is compiled, and those on
//! `memory://` run, with the tests.
//!
//! | chapter | answers |
//! |---|---|
//! | [`concepts`] | which words there are, and what they stand for on a broker |
//! | [`first_service`] | how to write a service and its client, from nothing |
//! | [`versions`] | how to change a service without stopping its fleet |
//! | [`errors`] | what can go wrong, whether it may have run, and how errors travel |
//! | [`delivery`] | what is promised about each message, and what is not |
//! | [`deployment`] | RabbitMQ's options, queues, TLS, heartbeats, permissions; Kubernetes |
//! | [`rabbitmq_4`] | what differs on RabbitMQ 4, and which options a fleet needs there |
//! | [`middleware`] | tower layers, and the order that they must have |
//! | [`telemetry`] | spans, traces across languages, metrics |
//! | [`testing`] | how to test a service without a broker |
//! | [`from_oslo`] | where each name of oslo.messaging went |
//! | [`from_nameko`] | where each name of nameko went |
//!
//! Whole programs are in `examples/` of the repository.

#[doc = include_str!("concepts.md")]
pub mod concepts {}

#[doc = include_str!("first_service.md")]
pub mod first_service {}

#[doc = include_str!("versions.md")]
pub mod versions {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("delivery.md")]
pub mod delivery {}

#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[doc = include_str!("rabbitmq_4.md")]
pub mod rabbitmq_4 {}

#[doc = include_str!("middleware.md")]
pub mod middleware {}

#[doc = include_str!("telemetry.md")]
pub mod telemetry {}

/// How to test a service without a broker.
#[cfg_attr(feature = "testing", doc = "\n\nWith the cargo feature `testing`: [`oxlo::testing`](crate::testing).\n")]
#[cfg_attr(feature = "testing", doc = include_str!("testing.md"))]
#[cfg_attr(not(feature = "testing"), doc = "\n\nThis chapter is written when the cargo feature `testing` is enabled.")]
pub mod testing {}

#[doc = include_str!("from_oslo.md")]
pub mod from_oslo {}

#[doc = include_str!("from_nameko.md")]
pub mod from_nameko {}
