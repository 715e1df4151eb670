//! Rows 32 to 35: brokers that do not want us, or are not there.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oxlo::transport::error::Refusal;
use oxlo::{Retry, TransportError};
use oxlo_test_support::{PortLease, TestVhost};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::kit::{SECOND, Stage, io_threads};

async fn refused(url: &str) -> (Refusal, String, Duration) {
    let begun = Instant::now();
    match oxlo::connect(url).await {
        Err(TransportError::Refused { refusal, reason, .. }) => (refusal, reason, begun.elapsed()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_credentials() {
    let vhost = TestVhost::new().await;
    let (refusal, reason, took) = refused(&vhost.url().replace("guest:guest", "guest:tooth-fairy")).await;
    assert_eq!(refusal, Refusal::Credentials);
    assert!(reason.contains("guest") && !reason.contains("tooth-fairy"), "{reason}");
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_vhost() {
    let vhost = TestVhost::new().await;
    let (refusal, reason, took) = refused(&vhost.url().replace(vhost.name(), "nowhere")).await;
    assert_eq!(refusal, Refusal::VirtualHost);
    assert!(reason.contains("nowhere"), "{reason}");
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_refused_port() {
    let port = PortLease::take();
    let url = format!("rabbit://127.0.0.1:{}/", port.port());
    let begun = Instant::now();
    let error = oxlo::connect(url.clone()).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());

    // Told to wait, it asks about twice a second and holds no thread.
    let before = io_threads();
    let waiting = oxlo::builder(url).connect_retry(Retry::Times(3)).connect();
    let error = waiting.await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1000) && took < 4 * SECOND, "four attempts took {took:?}");
    assert_eq!(io_threads(), before);
}

/// Certificates of an authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A real broker behind TLS with a certificate that is wrong in some way. `why` is what the error must name.
async fn tls_fault(name: &str, change: impl FnOnce(&mut CertificateParams), trust_it: bool, why: &str) {
    let authority = Authority::new();
    let (cert, key) = authority.sign(name, change);
    let material = oxlo_test_support::TlsMaterial { ca: authority.pem(), cert, key, require_client_cert: false };
    let broker = oxlo_test_support::Broker::builder().tls(material).start().await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, if trust_it { authority.pem() } else { Authority::new().pem() }).unwrap();
    let url = format!("rabbits://nova:tooth-fairy@localhost:{}/?ssl_ca_file={}", broker.tls_port(), ca.display());
    let (refusal, reason, took) = refused(&url).await;
    assert_eq!(refusal, Refusal::Tls);
    assert!(reason.to_lowercase().contains(why), "{reason}");
    assert!(took < 2 * SECOND, "{took:?}");
    // Nor does a plain connection to this port, which is told what to use instead.
    let plain = format!("rabbit://nova:tooth-fairy@localhost:{}/", broker.tls_port());
    let (refusal, reason, _) = refused(&plain).await;
    assert!(refusal == Refusal::Protocol && reason.contains("rabbits://"), "{reason}");
    // No user came as far as a login, with right or wrong credentials.
    assert!(!broker.log().contains("nova"), "{}", broker.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_expired() {
    let expired = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    tls_fault("localhost", expired, true, "expired").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_of_another_host() {
    tls_fault("elsewhere.example", |_| {}, true, "localhost").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_of_an_unknown_authority() {
    tls_fault("localhost", |_| {}, false, "ssl_ca_file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_tls_to_the_plain_port() {
    let vhost = TestVhost::new().await;
    let (refusal, reason, _) = refused(&vhost.url().replace("rabbit://", "rabbits://")).await;
    assert_eq!(refusal, Refusal::Tls);
    assert!(reason.contains("does not speak TLS"), "{reason}");
}

/// What a listener that speaks no protocol at all reads from us before it is recognised: never a credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_no_credentials_before_the_peer_is_known() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reading = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..count]);
        }
        heard
    });
    let begun = Instant::now();
    let error = oxlo::connect(format!("rabbits://nova:tooth-fairy@127.0.0.1:{port}/")).await.unwrap_err();
    assert!(begun.elapsed() < 6 * SECOND, "a peer that says nothing took {:?}", begun.elapsed());
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error}");
    let heard = reading.await.unwrap();
    for secret in [&b"tooth-fairy"[..], b"nova"] {
        assert!(!heard.windows(secret.len()).any(|window| window == secret), "credentials went out before TLS stood");
    }
}

/// The first of two hosts accepts and says nothing: the second is taken within the limit of one attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_35_first_of_several_addresses_is_dead() {
    let vhost = TestVhost::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mute = listener.local_addr().unwrap().port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            held.push(client);
        }
    });
    let closed = PortLease::take();
    let (_, rest) = vhost.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let url =
        format!("rabbit://guest:guest@127.0.0.1:{mute},guest:guest@127.0.0.1:{},guest:guest@{rest}", closed.port());
    let begun = Instant::now();
    let stage = Stage::on(&vhost, &url).await;
    println!(
        "figures: a mute host and a closed port before the good one: service after {:?}, {} attempts at the mute one",
        begun.elapsed(),
        accepted.load(Ordering::Relaxed)
    );
    assert!(begun.elapsed() < 25 * SECOND, "{:?}", begun.elapsed());
    accepting.abort();
    stage.close().await;
}
