//! Rows 32 to 34: brokers that refuse connections or are unavailable.

use oxlo::transport::Refusal;
use oxlo_faults_kit::{
    SOON, Stage,
    rows::connect::{self, Flaw},
};
use oxlo_test_support::{Amqp1Product, Authority, TestVhost, Validity};

use crate::rabbitmq;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_credentials() {
    let vhost = TestVhost::new().await;
    connect::wrong_credentials(&vhost.amqp1_url(), vhost.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_vhost() {
    let vhost = TestVhost::new().await;
    connect::wrong_vhost(&vhost.amqp1_url(), vhost.name(), vhost.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_refused_port() {
    connect::refused_port("amqp").await;
}

/// A broker that speaks only AMQP 1.0, reached by AMQP 0-9-1: the error names the scheme to use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_rabbit_to_a_broker_that_only_speaks_amqp_1() {
    let url = Amqp1Product::ActiveMq.shared_url().await.replace("amqp://", "rabbit://nova:tooth-fairy@");
    let (refusal, reason) = connect::refused(&url).await;
    assert_eq!(refusal, Refusal::Protocol, "{reason}");
    assert!(reason.contains("AMQP 1.0") && reason.contains("amqp://") && !reason.contains("tooth-fairy"), "{reason}");
}

/// A real broker behind TLS.
async fn flawed(flaw: Flaw) {
    connect::tls_fault(rabbitmq(), "amqp", "amqps", flaw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_expired() {
    flawed(Flaw::Expired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_of_another_host() {
    flawed(Flaw::OtherHost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_of_an_unknown_authority() {
    flawed(Flaw::UnknownAuthority).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_tls_to_the_plain_port() {
    let vhost = TestVhost::new().await;
    connect::tls_to_the_plain_port(&vhost.amqp1_url().replace("amqp://", "amqps://")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_no_credentials_before_the_peer_is_known() {
    for scheme in ["amqps", "amqp"] {
        connect::no_credentials_before_the_peer_is_known(scheme).await;
    }
}

/// With a valid configuration, calls succeed over TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_amqps_works() {
    let authority = Authority::new();
    let broker = rabbitmq().tls(authority.certify("localhost", Validity::Current)).start().await;
    let ca = authority.file();
    let url = format!("amqps://guest:guest@localhost:{}/?ssl_ca_file={}", broker.tls_port(), ca.display());
    let stage = Stage::on(&url).await;
    for _ in 0..20 {
        stage.caller.call(0, SOON).await.unwrap();
    }
    let encrypted = broker.log().matches(&format!(":{})", broker.tls_port())).count();
    assert!(encrypted >= 4, "the connections are not on the TLS port:\n{}", broker.log());
    stage.close().await;
}
