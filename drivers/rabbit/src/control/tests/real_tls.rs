//! TLS with a real RabbitMQ that requires client certificates.

use std::time::Duration;

use lapin::{ConnectionProperties, ErrorKind, uri::AMQPUri};
use oxlo_driver_kit::{
    socket::{ConnectError, Peer},
    tls::{Failure, Tls, TlsOptions},
};
use oxlo_test_support::{Broker, TlsMaterial};

use super::{
    connect,
    tls::{Authority, Files},
};
use crate::{control::handshake, stream::is_permanent};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_spoken_to_by_certificate_and_wrong_ports_are_named() {
    let (authority, files) = (Authority::new(), Files::new());
    let (theirs, ours) = (authority.good(), authority.good());
    let broker = Broker::builder()
        .tls(TlsMaterial { ca: authority.pem(), cert: theirs.cert, key: theirs.key, require_client_cert: true })
        .start()
        .await;
    let nobody = files.trusting(&authority);
    let somebody = TlsOptions {
        cert_file: Some(files.put("client.pem", &ours.cert)),
        key_file: Some(files.put("client.key", &ours.key)),
        ..nobody.clone()
    };
    let peer = |port, options: Option<&TlsOptions>| Peer {
        host: "localhost".to_owned(),
        port,
        tls: options.map(|options| Tls::load(options).unwrap()),
        user_timeout: None,
    };
    let open = async |peer: Peer| {
        let stream = connect(&peer, 0, SOON).await?;
        Ok::<_, ConnectError>(handshake::open(AMQPUri::default(), ConnectionProperties::default(), stream).await)
    };

    // With a certificate of the authority.
    let connection = open(peer(broker.tls_port(), Some(&somebody))).await.unwrap().unwrap();
    let channel = connection.create_channel().await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
    drop(channel);

    // Without one: refused during the handshake (TLS 1.2) or after it (TLS 1.3), for the same reason.
    match open(peer(broker.tls_port(), Some(&nobody))).await {
        Err(ConnectError::Tls { error, .. }) => {
            assert!(matches!(error.failure(), Failure::ClientCertificate | Failure::Incompatible), "{error}");
        }
        Ok(Err(error)) => {
            let ErrorKind::IOError(cause) = error.kind() else { panic!("{error:?}") };
            assert!(is_permanent(cause), "{cause:?}");
            assert!(cause.to_string().contains("ssl_cert_file"), "{cause}");
        }
        other => panic!("{other:?}"),
    }

    // TLS to the plain port.
    let error = open(peer(broker.port(), Some(&somebody))).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Tls { error, .. } if error.failure() == Failure::NotTls), "{error:?}");

    // Plain to the TLS port.
    let error = open(peer(broker.tls_port(), None)).await.unwrap().unwrap_err();
    let ErrorKind::IOError(cause) = error.kind() else { panic!("{error:?}") };
    assert!(is_permanent(cause), "{cause:?}");
    assert!(cause.to_string().contains("use rabbits://"), "{cause}");
}
