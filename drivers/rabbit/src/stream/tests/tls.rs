//! TLS against listeners of the test's own, with certificates made on the spot.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::io::AsyncReadExt;
use oxlo_driver_kit::{
    socket::{ConnectError, Peer},
    tls::{Failure, MaterialError, MinVersion, Tls, TlsError, TlsOptions},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier},
};

use super::{connect, wire};
use crate::stream::{GuardedStream, StreamEnd, is_permanent};

const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

pub(crate) struct Leaf {
    pub(crate) cert: String,
    pub(crate) key: String,
    der: rustls_pki_types::CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("oxlo test authority")
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn issue(&self, names: &[&str], years: (i32, i32)) -> Leaf {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().clone(), key_der: key.serialize_der() }
    }

    pub(crate) fn good(&self) -> Leaf {
        self.issue(&["localhost", "127.0.0.1"], (2000, 2100))
    }
}

pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn put(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn trusting(&self, authority: &Authority) -> TlsOptions {
        TlsOptions { ca_file: Some(self.put("ca.pem", &authority.pem())), ..TlsOptions::default() }
    }
}

/// A TLS listener that answers one connection with `connection.start`, and the bytes that it received over TLS.
async fn serve(authority: &Authority, leaf: &Leaf, client_certificate: bool) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(leaf.key_der.clone()).unwrap();
    let config = builder.with_single_cert(vec![leaf.der.clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await else { return };
        stream.write_all(&wire::start(b"")).await.unwrap();
        let mut buffer = [0; 1024];
        while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
            ear.lock().unwrap().extend_from_slice(&buffer[..bytes]);
        }
    });
    (port, heard)
}

async fn dial(host: &str, port: u16, options: &TlsOptions) -> Result<GuardedStream, ConnectError> {
    let tls = Some(Tls::load(options).unwrap());
    connect(&Peer { host: host.to_owned(), port, tls, user_timeout: None }, 0, SOON).await
}

async fn failure(host: &str, port: u16, options: &TlsOptions) -> (Failure, String) {
    let error = dial(host, port, options).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
    let text = error.to_string();
    let ConnectError::Tls { error, .. } = error else { panic!("{error:?}") };
    (error.failure(), text)
}

#[tokio::test]
async fn a_verified_peer_is_read_from_by_name_and_by_address() {
    let (authority, files) = (Authority::new(), Files::new());
    for host in ["localhost", "127.0.0.1"] {
        let (port, _) = serve(&authority, &authority.good(), false).await;
        let mut stream = dial(host, port, &files.trusting(&authority)).await.unwrap();
        let mut received = vec![0; wire::start(b"").len()];
        tokio::time::timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
        assert_eq!(received, wire::start(b""));
    }
}

#[tokio::test]
async fn tls_1_3_only_is_possible() {
    let (authority, files) = (Authority::new(), Files::new());
    let (port, _) = serve(&authority, &authority.good(), false).await;
    let options = TlsOptions { min_version: MinVersion::Tls13, ..files.trusting(&authority) };
    dial("localhost", port, &options).await.unwrap();
}

#[tokio::test]
async fn bad_certificates_are_told_apart_and_permanent() {
    let (authority, files) = (Authority::new(), Files::new());
    let trusting = files.trusting(&authority);
    for (leaf, expected) in [
        (authority.issue(&["localhost"], (2000, 2001)), Failure::Expired),
        (authority.issue(&["localhost"], (2090, 2100)), Failure::NotValidYet),
        (authority.issue(&["other.example"], (2000, 2100)), Failure::WrongHostName),
        (Authority::new().good(), Failure::UnknownAuthority),
        (Authority::named("of another name").good(), Failure::UnknownAuthority),
    ] {
        let (port, heard) = serve(&authority, &leaf, false).await;
        let (failure, text) = failure("localhost", port, &trusting).await;
        assert_eq!(failure, expected);
        assert!(text.contains(&format!("localhost:{port}")), "{text}");
        assert!(heard.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn without_a_ca_file_a_private_authority_is_unknown() {
    let authority = Authority::new();
    let (port, _) = serve(&authority, &authority.good(), false).await;
    // Where the system has no roots at all, that is said before any socket is opened.
    match Tls::load(&TlsOptions::default()) {
        Ok(_) => assert_eq!(failure("localhost", port, &TlsOptions::default()).await.0, Failure::UnknownAuthority),
        Err(error) => assert!(error.to_string().starts_with("ssl_ca_file: not set"), "{error}"),
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_a_missing_one_is_named() {
    let (authority, files) = (Authority::new(), Files::new());
    let ours = authority.good();
    let with_certificate = TlsOptions {
        cert_file: Some(files.put("client.pem", &ours.cert)),
        key_file: Some(files.put("client.key", &ours.key)),
        ..files.trusting(&authority)
    };
    let key_within = TlsOptions {
        cert_file: Some(files.put("both.pem", &[&ours.cert[..], &ours.key].concat())),
        ..files.trusting(&authority)
    };
    for options in [with_certificate, key_within] {
        let (port, _) = serve(&authority, &authority.good(), true).await;
        let mut stream = dial("localhost", port, &options).await.unwrap();
        let mut received = vec![0; wire::start(b"").len()];
        tokio::time::timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
    }

    // With TLS 1.3 the peer's refusal follows our side of the handshake.
    let (port, _) = serve(&authority, &authority.good(), true).await;
    let mut stream = dial("localhost", port, &files.trusting(&authority)).await.unwrap();
    let handle = stream.handle();
    let error = tokio::time::timeout(SOON, stream.read(&mut [0; 16])).await.unwrap().unwrap_err();
    assert!(is_permanent(&error), "{error:?}");
    assert!(error.to_string().contains("client certificate"), "{error}");
    let StreamEnd::Failed(end) = handle.ended().await else { panic!("{:?}", handle.end()) };
    let cause: &TlsError = end.get_ref().unwrap().downcast_ref().unwrap();
    assert_eq!(cause.failure(), Failure::ClientCertificate);
}

#[tokio::test]
async fn a_plain_port_hears_no_byte_of_amqp() {
    let (authority, files) = (Authority::new(), Files::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        // What RabbitMQ says to a client hello on its plain port.
        tcp.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        let mut heard = Vec::new();
        tcp.read_to_end(&mut heard).await.ok();
        heard
    });
    let (failure, text) = failure("localhost", port, &files.trusting(&authority)).await;
    assert_eq!(failure, Failure::NotTls);
    assert!(text.contains("does not speak TLS"), "{text}");
    let heard = tokio::time::timeout(SOON, peer).await.unwrap().unwrap();
    // Whole TLS records and nothing else: the client hello (22) and our alert (21).
    let mut rest = &heard[..];
    while let [kind @ (21 | 22), 3, _, high, low, tail @ ..] = rest {
        assert!(*kind == 22 || tail.len() >= 2);
        rest = &tail[usize::from(*high) << 8 | usize::from(*low)..];
    }
    assert!(!heard.is_empty() && rest.is_empty(), "{}", heard.escape_ascii());
    assert!(!heard.windows(4).any(|window| window == b"AMQP"));
}

#[tokio::test]
async fn a_peer_that_leaves_the_handshake_unanswered_costs_the_limit_and_no_more() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = Some(Tls::load(&files.trusting(&Authority::new())).unwrap());
    let port = listener.local_addr().unwrap().port();
    let peer = Peer { host: "localhost".to_owned(), port, tls, user_timeout: None };
    let error = connect(&peer, 0, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TlsTimeout { .. }), "{error:?}");
    assert!(!error.is_permanent());
}

#[test]
fn bad_material_names_its_option_and_path() {
    let (authority, files) = (Authority::new(), Files::new());
    let (ours, other) = (authority.good(), authority.good());
    let cert = files.put("cert.pem", &ours.cert);
    let key = files.put("key.pem", &ours.key);
    let empty = files.put("empty.pem", "");
    let broken = files.put("broken.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let no_certificate = files.put("der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let other_key = files.put("other.key", &other.key);
    let missing = files.0.path().join("missing.pem");
    let folder = files.0.path().to_owned();

    for (path, says) in [
        (&missing, "No such file"),
        (&folder, "directory"),
        (&empty, "no certificate"),
        (&key, "no certificate"),
        (&broken, "not PEM"),
        (&no_certificate, "not a usable authority"),
    ] {
        let options = TlsOptions { ca_file: Some(path.clone()), ..TlsOptions::default() };
        assert_says(&options, "ssl_ca_file", path, says);
    }
    let with = |cert: &Path, key: Option<&Path>| TlsOptions {
        cert_file: Some(cert.to_owned()),
        key_file: key.map(Path::to_owned),
        ..files.trusting(&authority)
    };
    assert_says(&with(&missing, Some(&key)), "ssl_cert_file", &missing, "No such file");
    assert_says(&with(&empty, Some(&key)), "ssl_cert_file", &empty, "no certificate");
    assert_says(&with(&no_certificate, Some(&key)), "ssl_cert_file", &no_certificate, "not a usable certificate");
    assert_says(&with(&cert, Some(&missing)), "ssl_key_file", &missing, "No such file");
    assert_says(&with(&cert, Some(&empty)), "ssl_key_file", &empty, "no private key");
    assert_says(&with(&cert, Some(&other_key)), "ssl_key_file", &other_key, "does not belong to the certificate");
    assert_says(&with(&cert, None), "ssl_cert_file", &cert, "ssl_key_file is not set");
    let lonely = TlsOptions { key_file: Some(key.clone()), ..files.trusting(&authority) };
    assert_says(&lonely, "ssl_key_file", &key, "set ssl_cert_file too");
}

fn assert_says(options: &TlsOptions, option: &str, path: &Path, problem: &str) {
    let error: MaterialError = Tls::load(options).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("{option} ({}): ", path.display())), "{text}");
    assert!(text.contains(problem), "{text}");
    assert!(!text.contains("PRIVATE"), "{text}");
}
