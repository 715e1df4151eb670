//! No password is printed: not by `Debug`, not by an error, not by a log line of any level.

use std::{
    error::Error,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use oxlo::{Context, Endpoint, Failure, RPCClient, RPCServer, Retry, Target, transport::TransportUrl};
use oxlo_test_support::{SharedBroker, TestVhost, eventually, own_process};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

/// The password in plain text, percent-encoded, and as bytes in decimal and hexadecimal `Debug` output.
const PASSWORD: &str = "tooth/fairy#7";

fn spellings() -> Vec<String> {
    let list = |text: Vec<String>| text.join(", ");
    let decimal = list(PASSWORD.bytes().map(|byte| byte.to_string()).collect());
    let hexadecimal = list(PASSWORD.bytes().map(|byte| format!("{byte:#x}")).collect());
    vec![PASSWORD.to_owned(), encoded(), decimal, hexadecimal]
}

fn encoded() -> String {
    PASSWORD.replace('/', "%2F").replace('#', "%23")
}

fn assert_clean(what: &str, text: &str) {
    for spelling in spellings() {
        if let Some(at) = text.find(&spelling) {
            let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            panic!("the password is in {what}: {}", text[line..].lines().next().unwrap_or_default());
        }
    }
}

fn shown(error: &dyn Error) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        shown = format!("{shown} {cause} {cause:?}");
        source = cause.source();
    }
    shown
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The URL of the vhost for a user with [`PASSWORD`].
async fn url_of_user(vhost: &TestVhost) -> String {
    let user = vhost.name();
    let shared = SharedBroker::get().await;
    let permit = format!(
        "ok = rabbit_auth_backend_internal:add_user(<<\"{user}\">>, <<\"{PASSWORD}\">>, <<\"oxlo\">>), \
         ok = rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{user}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"oxlo\">>), ok."
    );
    shared.control().eval::<String>(&permit).await;
    vhost.url().replace("guest:guest", &format!("{user}:{}", encoded()))
}

#[tokio::test]
async fn no_password_is_printed() {
    own_process!(no_password_is_printed);
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).init();

    let vhost = TestVhost::new().await;
    let url = url_of_user(&vhost).await;
    let parsed: TransportUrl = url.parse().unwrap();
    assert_clean("Debug and Display of a URL", &format!("{parsed:?} {parsed}"));
    assert_clean("Debug of a builder", &format!("{:?}", oxlo::builder(&url)));

    for login in ["AMQPLAIN", "PLAIN"] {
        let transport = oxlo::connect(format!("{url}?rabbit_login_method={login}")).await.unwrap();
        let endpoint =
            Endpoint::new("1.0").method("fail", async || Err::<(), _>(Failure::builtin("ValueError", "bad")));
        let server = RPCServer::builder(transport.clone(), Target::topic("t").server(login))
            .endpoint(endpoint)
            .start()
            .await
            .unwrap();
        let client = RPCClient::new(transport.clone(), Target::topic("t")).timeout(Duration::from_secs(20));
        assert_clean("Debug", &format!("{transport:?} {server:?} {client:?} {:?}", transport.settings()));
        let failed = client.call::<()>(&Context::new(), "fail", ()).await.unwrap_err();
        assert_clean("an error", &shown(&failed));
        // A lost connection logs more than an established one.
        assert!(vhost.close_all_connections("for the log").await > 0);
        eventually(
            Duration::from_secs(20),
            "calls go on",
            async || client.call::<()>(&Context::new(), "fail", ()).await.unwrap_err(),
            |error| error.remote_failure().is_some(),
        )
        .await;
        server.stop();
        server.wait().await.unwrap();
        transport.close().await;
        assert_clean("Debug of a closed transport", &format!("{transport:?}"));
        let closed = client.call::<()>(&Context::new(), "fail", json!({})).await.unwrap_err();
        assert_clean("an error of a closed transport", &shown(&closed));
    }

    let down = url.replace(&format!(":{}/", vhost.port()), ":1/");
    for refused in [
        url.replace(&format!("/{}", vhost.name()), "/nowhere"),
        url.replace(&format!("{}:", vhost.name()), "nobody:"),
        format!("{url}?ssl_ca_file=/nowhere"),
        format!("{url}?no_such_option={PASSWORD}"),
        format!("{url}?ssl={}", encoded()),
        url.replace("rabbit://", "pigeon://"),
        url.replace(&encoded(), PASSWORD),
        url.replace(&format!(":{}/", vhost.port()), ":port/"),
        url.replace("rabbit://", "rabbits://"),
        down,
    ] {
        let told = oxlo::builder(refused).connect_retry(Retry::Times(0)).connect().await.unwrap_err();
        assert_clean("a refusal", &shown(&told));
    }

    let log = log.text();
    assert!(log.contains("TRACE"), "the log was listened to");
    assert_clean("the log", &log);
}
