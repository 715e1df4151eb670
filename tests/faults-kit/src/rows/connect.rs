//! Brokers that refuse connections or are unavailable.

use std::time::Duration;

use oxlo::{Retry, TransportError, transport::Refusal};
use oxlo_test_support::{Authority, BrokerBuilder, FaultProxy, MutePeer, PortLease, Validity};
use tokio::time::Instant;

use crate::SECOND;

/// Limit for an immediate refusal by a busy broker, which may delay it by three seconds.
const AT_ONCE: Duration = Duration::from_secs(15);

/// The kind and the text of a refusal.
pub async fn refused(url: &str) -> (Refusal, String) {
    let begun = Instant::now();
    match oxlo::connect(url).await {
        Err(TransportError::Refused { refusal, reason, .. }) => {
            assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
            (refusal, reason)
        }
        other => panic!("{other:?}"),
    }
}

/// As [`refused`], by the broker on `port`; exactly one attempt must be made.
async fn refused_once(url: &str, port: u16) -> (Refusal, String) {
    let proxy = FaultProxy::start(port).await;
    let refused = refused(&proxy.url(url)).await;
    assert_eq!(proxy.connections(), 1, "asking again does not help");
    refused
}

/// Row 32: a wrong password. `url` is the right one, of the broker on `port`.
pub async fn wrong_credentials(url: &str, port: u16) {
    let (refusal, reason) = refused_once(&url.replace("guest:guest", "guest:tooth-fairy"), port).await;
    assert_eq!(refusal, Refusal::Credentials);
    assert!(reason.contains("guest") && !reason.contains("tooth-fairy"), "{reason}");
}

/// Row 32: a wrong virtual host. `url` is the right one with virtual host `vhost`, of the broker on `port`.
pub async fn wrong_vhost(url: &str, vhost: &str, port: u16) {
    let (refusal, reason) = refused_once(&url.replace(vhost, "nowhere"), port).await;
    assert_eq!(refusal, Refusal::VirtualHost);
    assert!(reason.contains("nowhere"), "{reason}");
}

/// Row 33: no listener on the port. The error is immediate, or, with four retries, comes after two attempts per second.
pub async fn refused_port(scheme: &str) {
    let port = PortLease::take();
    let url = format!("{scheme}://127.0.0.1:{}/", port.port());
    let error = oxlo::connect(&url).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    let begun = Instant::now();
    let error = oxlo::builder(url).connect_retry(Retry::Times(3)).connect().await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { .. }), "{error}");
    let took = begun.elapsed();
    assert!(took > SECOND && took < 10 * SECOND, "four attempts took {took:?}");
}

/// A flaw of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It has expired.
    Expired,
    /// It names another host.
    OtherHost,
    /// It is signed by an unknown authority.
    UnknownAuthority,
}

/// Row 34: a broker with a flawed certificate; the error must name the flaw. `secure` is the scheme with TLS, `plain` the one
/// without.
pub async fn tls_fault(broker: BrokerBuilder, plain: &str, secure: &str, flaw: Flaw) {
    let (name, validity, why) = match flaw {
        Flaw::Expired => ("localhost", Validity::Expired, "expired"),
        Flaw::OtherHost => ("elsewhere.example", Validity::Current, "not for this host name"),
        Flaw::UnknownAuthority => ("localhost", Validity::Current, "ssl_ca_file"),
    };
    let (authority, stranger) = (Authority::new(), Authority::new());
    let broker = broker.tls(authority.certify(name, validity)).start().await;
    let ca = if flaw == Flaw::UnknownAuthority { stranger.file() } else { authority.file() };
    let at = format!("nova:tooth-fairy@localhost:{}/", broker.tls_port());
    let (refusal, reason) = refused(&format!("{secure}://{at}?ssl_ca_file={}", ca.display())).await;
    assert_eq!(refusal, Refusal::Tls);
    assert!(reason.to_lowercase().contains(why), "{reason}");
    // A plain connection to this port fails too, and the error names the scheme to use.
    let (refusal, reason) = refused(&format!("{plain}://{at}")).await;
    assert!(refusal == Refusal::Protocol && reason.contains(&format!("{secure}://")), "{reason}");
    // No attempt reached the login, with right or wrong credentials.
    assert!(!broker.log().contains("nova"), "{}", broker.log());
}

/// Row 34: TLS to the plain port. `url` has the scheme with TLS.
pub async fn tls_to_the_plain_port(url: &str) {
    let (refusal, reason) = refused(url).await;
    assert_eq!(refusal, Refusal::Tls);
    assert!(reason.contains("does not speak TLS"), "{reason}");
}

/// Row 34: a peer that speaks no protocol never receives credentials.
pub async fn no_credentials_before_the_peer_is_known(scheme: &str) {
    let peer = MutePeer::start().await;
    let begun = Instant::now();
    let error = oxlo::connect(format!("{scheme}://nova:tooth-fairy@127.0.0.1:{}/", peer.port())).await.unwrap_err();
    assert!(begun.elapsed() < 10 * SECOND, "a peer that says nothing took {:?}", begun.elapsed());
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error}");
    let heard = peer.heard().await;
    for secret in [&b"tooth-fairy"[..], b"nova"] {
        assert!(!heard.windows(secret.len()).any(|window| window == secret), "credentials went out over {scheme}");
    }
}
