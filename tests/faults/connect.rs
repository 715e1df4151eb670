//! Rows 32 to 35: brokers that refuse connections or are unavailable.

use oxlo_faults_kit::{
    SECOND,
    rows::connect::{self, Flaw},
};
use oxlo_test_support::{Broker, MutePeer, PortLease, TestVhost, eventually, io_threads};
use tokio::time::Instant;

use crate::scene::stage_on;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_credentials() {
    let vhost = TestVhost::new().await;
    connect::wrong_credentials(&vhost.url(), vhost.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_vhost() {
    let vhost = TestVhost::new().await;
    connect::wrong_vhost(&vhost.url(), vhost.name(), vhost.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_refused_port() {
    let before = io_threads();
    connect::refused_port("rabbit").await;
    eventually(SECOND, "no thread is left", async || io_threads(), |count| *count == before).await;
}

/// A real broker behind TLS.
async fn flawed(flaw: Flaw) {
    connect::tls_fault(Broker::builder(), "rabbit", "rabbits", flaw).await;
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
    connect::tls_to_the_plain_port(&vhost.url().replace("rabbit://", "rabbits://")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_no_credentials_before_the_peer_is_known() {
    connect::no_credentials_before_the_peer_is_known("rabbits").await;
}

/// The first of two hosts accepts and never answers: the second is used within the limit of one attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_35_first_of_several_addresses_is_dead() {
    let vhost = TestVhost::new().await;
    let (mute, closed) = (MutePeer::start().await, PortLease::take());
    let (_, rest) = vhost.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let dead = [mute.port(), closed.port()].map(|port| format!("guest:guest@127.0.0.1:{port}")).join(",");
    let begun = Instant::now();
    let stage = stage_on(&vhost, &format!("rabbit://{dead},guest:guest@{rest}")).await;
    println!(
        "figures: a mute host and a closed port before the good one: service after {:?}, {} attempts at the mute one",
        begun.elapsed(),
        mute.accepted()
    );
    stage.lag.in_time("service begins", begun.elapsed(), 25 * SECOND);
    stage.close().await;
}
