//! The guide: how to write, run and migrate services. Its examples are compiled with the tests, and those on `memory://`
//! run.
//!
//! | chapter | contents |
//! |---|---|
//! | [`concepts`] | the terms, and what they correspond to on a broker |
//! | [`first_service`] | a service and its client, step by step |
//! | [`versions`] | changing a service without stopping its fleet |
//! | [`errors`] | the errors of a call, whether the method may have run, and how errors travel |
//! | [`delivery`] | the delivery guarantees, and their limits |
//! | [`deployment`] | options, queues, TLS, heartbeats and permissions on RabbitMQ; Kubernetes |
//! | [`rabbitmq_4`] | differences on RabbitMQ 4, and the options that a fleet needs |
//! | [`middleware`] | tower layers, and the order in which to apply them |
//! | [`telemetry`] | logs, spans, traces across languages, metrics |
//! | [`testing`] | testing a service without a broker |
//! | [`from_oslo`] | the names of oslo.messaging and their counterparts |
//! | [`from_nameko`] | the names of nameko and their counterparts |
//!
//! Complete programs are in `examples/` of the repository.

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
