//! Wrong configuration fails at once, with an error that names the cause.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use oxlo::{Retry, TransportError, transport::Refusal};
use oxlo_test_support::{PortLease, TestVhost};
use serde_json::json;

use crate::fixture::{ask, client_on, python_server};

async fn refused(url: impl Into<String>) -> TransportError {
    oxlo::connect(url).await.expect_err("it is refused")
}

/// The whole chain of causes, as a program prints it.
fn told(error: &TransportError) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_name_of_the_user() {
    let vhost = TestVhost::new().await;
    let begun = Instant::now();
    let error = refused(vhost.url().replace("guest:guest", "guest:tooth-fairy")).await;
    assert!(matches!(error, TransportError::Refused { refusal: Refusal::Credentials, .. }), "{error:?}");
    assert!(told(&error).contains("user `guest`") && !told(&error).contains("tooth-fairy"), "{}", told(&error));
    assert!(!format!("{error:?}").contains("tooth-fairy"));
    // Retrying cannot help, so connecting fails at once.
    let patient = oxlo::builder(vhost.url().replace("guest:guest", "guest:tooth-fairy")).connect_retry(Retry::Forever);
    assert!(matches!(patient.connect().await, Err(TransportError::Refused { .. })));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_wrong_vhost_is_refused_by_name() {
    let vhost = TestVhost::new().await;
    let error = refused(format!("{}-nowhere", vhost.url())).await;
    assert!(matches!(error, TransportError::Refused { refusal: Refusal::VirtualHost, .. }), "{error:?}");
    assert!(told(&error).contains(&format!("`{}-nowhere`", vhost.name())), "{}", told(&error));
}

#[tokio::test]
async fn a_broker_that_is_down_is_named_at_once() {
    let lease = PortLease::take();
    let begun = Instant::now();
    let error = refused(format!("rabbit://guest:guest@127.0.0.1:{}/", lease.port())).await;
    assert!(matches!(error, TransportError::Unreachable { .. }) && error.is_retryable(), "{error:?}");
    assert!(told(&error).contains(&format!("127.0.0.1:{}", lease.port())), "{}", told(&error));
    assert!(told(&error).to_lowercase().contains("refused"), "the cause is told: {}", told(&error));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_broker_that_is_down_is_passed_over_for_the_next_host() {
    let vhost = TestVhost::new().await;
    let lease = PortLease::take();
    let _server = python_server(&vhost.url(), "s1").await;
    let hosts = format!("guest:guest@127.0.0.1:{},guest:guest@127.0.0.1:{}", lease.port(), vhost.port());
    let transport = oxlo::connect(format!("rabbit://{hosts}/{}", vhost.name())).await.unwrap();
    assert_eq!(ask(&client_on(&transport), "whoami", json!({})).await, "s1");
}

#[tokio::test]
async fn an_unknown_scheme_is_told_the_known_ones() {
    let error = refused("carrier-pigeon://coop").await;
    assert!(matches!(error, TransportError::UnknownScheme { .. }), "{error:?}");
    for known in ["`carrier-pigeon`", "memory://", "rabbit://", "rabbits://", "kombu://"] {
        assert!(told(&error).contains(known), "{} lacks {known}", told(&error));
    }
    let absent =
        oxlo::transport::Registry::new().with_absent("rabbit", "rabbit").transport("rabbit://h/").connect().await;
    let told = told(&absent.unwrap_err());
    assert!(told.contains("cargo feature `rabbit`"), "{told}");
}

#[tokio::test]
async fn an_unknown_url_option_is_named_with_the_nearest() {
    let vhost = TestVhost::new().await;
    let error = refused(format!("{}?heartbeat_timeout_treshold=5", vhost.url())).await;
    assert!(matches!(error, TransportError::InvalidOption(_)), "{error:?}");
    let told = told(&error);
    assert!(told.contains("heartbeat_timeout_treshold"), "{told}");
    assert!(told.contains("did you mean heartbeat_timeout_threshold?"), "{told}");
    let error = refused(format!("{}?ssl=perhaps", vhost.url())).await;
    assert!(error.to_string().contains("ssl") && !error.to_string().contains("perhaps"), "{error}");
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    for url in ["", "rabbit", "rabbit//h", "://h", "rabbit://h:port/", "rabbit://h:99999/"] {
        let error = refused(url).await;
        assert!(matches!(error, TransportError::InvalidUrl(_)), "{url}: {error:?}");
    }
}
