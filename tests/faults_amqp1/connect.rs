//! Rows 32 to 35: brokers that do not want us, or are not there.

use std::{net::Ipv4Addr, time::Duration};

use oxlo::{Retry, TransportError, transport::error::Refusal};
use oxlo_test_support::{Amqp1Product, Broker, PortLease, TestVhost, TlsMaterial};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{io::AsyncReadExt, net::TcpListener, time::Instant};

use crate::{
    kit::{SECOND, SOON},
    stage::Stage,
};

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
    let (refusal, reason, took) = refused(&vhost.amqp1_url().replace("guest:guest", "guest:tooth-fairy")).await;
    assert_eq!(refusal, Refusal::Credentials);
    assert!(reason.contains("guest") && !reason.contains("tooth-fairy"), "{reason}");
    // RabbitMQ 3 thinks about it for three seconds.
    assert!(took < 5 * SECOND, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_32_wrong_vhost() {
    let vhost = TestVhost::new().await;
    let (refusal, reason, took) = refused(&vhost.amqp1_url().replace(vhost.name(), "nowhere")).await;
    assert_eq!(refusal, Refusal::VirtualHost);
    assert!(reason.contains("nowhere"), "{reason}");
    assert!(took < 5 * SECOND, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_refused_port() {
    let port = PortLease::take();
    let url = format!("amqp://127.0.0.1:{}/", port.port());
    let begun = Instant::now();
    let error = oxlo::connect(&url).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    let error = oxlo::builder(url).connect_retry(Retry::Times(3)).connect().await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    let took = begun.elapsed();
    assert!(took > SECOND && took < 4 * SECOND, "four attempts took {took:?}");
}

/// A broker that speaks 1.0 alone, asked for 0-9-1: the error names the scheme to use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_33_rabbit_to_a_broker_that_only_speaks_amqp_1() {
    let url = Amqp1Product::ActiveMq.shared_url().await.replace("amqp://", "rabbit://nova:tooth-fairy@");
    let (refusal, reason, took) = refused(&url).await;
    assert_eq!(refusal, Refusal::Protocol, "{reason}");
    assert!(reason.contains("AMQP 1.0") && reason.contains("amqp://") && !reason.contains("tooth-fairy"), "{reason}");
    assert!(took < 2 * SECOND, "{took:?}");
}

/// Certificates of an authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A broker behind TLS with a certificate for `name`.
    async fn broker(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Broker {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let cert = params.signed_by(&key, &self.0).unwrap().pem();
        let material = TlsMaterial { ca: self.0.pem(), cert, key: key.serialize_pem(), require_client_cert: false };
        Broker::builder().plugin("rabbitmq_amqp1_0").tls(material).start().await
    }

    /// A file with the authority's certificate, in a folder that goes when dropped.
    fn file(&self) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        let path = path.display().to_string();
        (folder, path)
    }
}

/// A real broker whose certificate is wrong in some way. `why` is what the error must name.
async fn tls_fault(name: &str, change: impl FnOnce(&mut CertificateParams), trust_it: bool, why: &str) {
    let authority = Authority::new();
    let broker = authority.broker(name, change).await;
    let (_folder, ca) = if trust_it { authority.file() } else { Authority::new().file() };
    let url = format!("amqps://nova:tooth-fairy@localhost:{}/?ssl_ca_file={ca}", broker.tls_port());
    let (refusal, reason, took) = refused(&url).await;
    assert_eq!(refusal, Refusal::Tls);
    assert!(reason.to_lowercase().contains(why), "{reason}");
    assert!(took < 2 * SECOND, "{took:?}");
    // Nor does a plain connection to this port, which is told what to use instead.
    let plain = format!("amqp://nova:tooth-fairy@localhost:{}/", broker.tls_port());
    let (refusal, reason, _) = refused(&plain).await;
    assert!(refusal == Refusal::Protocol && reason.contains("amqps://"), "{reason}");
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
    tls_fault("elsewhere.example", |_| {}, true, "host").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_certificate_of_an_unknown_authority() {
    tls_fault("localhost", |_| {}, false, "ssl_ca_file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_tls_to_the_plain_port() {
    let vhost = TestVhost::new().await;
    let (refusal, reason, _) = refused(&vhost.amqp1_url().replace("amqp://", "amqps://")).await;
    assert_eq!(refusal, Refusal::Tls);
    assert!(reason.contains("does not speak TLS"), "{reason}");
}

/// What a listener that speaks no protocol at all reads from us before it is recognised: never a credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_no_credentials_before_the_peer_is_known() {
    for scheme in ["amqps", "amqp"] {
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
        let error = oxlo::connect(format!("{scheme}://nova:tooth-fairy@127.0.0.1:{port}/")).await.unwrap_err();
        assert!(begun.elapsed() < 6 * SECOND, "a peer that says nothing took {:?}", begun.elapsed());
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error}");
        let heard = reading.await.unwrap();
        for secret in [&b"tooth-fairy"[..], b"nova"] {
            assert!(!heard.windows(secret.len()).any(|window| window == secret), "credentials went out over {scheme}");
        }
    }
}

/// With everything right, calls go over TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_34_amqps_works() {
    let authority = Authority::new();
    let broker = authority.broker("localhost", |_| {}).await;
    let (_folder, ca) = authority.file();
    let url = format!("amqps://guest:guest@localhost:{}/?ssl_ca_file={ca}", broker.tls_port());
    let stage = Stage::on(&url).await;
    for _ in 0..20 {
        stage.caller.call(0, SOON).await.unwrap();
    }
    let encrypted = broker.log().matches(&format!(":{})", broker.tls_port())).count();
    assert!(encrypted >= 4, "the connections are not on the TLS port:\n{}", broker.log());
    stage.close().await;
}
