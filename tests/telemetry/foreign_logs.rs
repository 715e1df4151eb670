//! Unreadable messages neither forge log lines nor flood the log.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use oxlo::{Endpoint, Failure, RPCServer, Target};
use oxlo_test_support::{TestVhost, eventually, own_process};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
    util::SubscriberInitExt,
};

const SOON: Duration = Duration::from_secs(120);
const FLOOD: u64 = 30_000;
/// In Erlang's syntax.
const FORGED: &str = "\\n2026-11-28T00:00:00Z ERROR sshd: forged \\e[31m";

/// oxlo's events as text, with all fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().starts_with("oxlo") {
            let mut line = Text::default();
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0 += &format!("{field}={value} ");
    }
}

async fn inject(vhost: &TestVhost, queue: &str, properties: &str, body: &str, times: u64) {
    let bytes = |text: &str| format!("<<{:?}>>", text);
    let expression = format!(
        "Exchange = rabbit_misc:r({}, exchange, <<>>), [rabbit_basic:publish(Exchange, {}, [{properties}], {body}) || _ <- lists:seq(1, {times})], ok.",
        bytes(vhost.name()),
        bytes(queue),
    );
    vhost.control().eval::<String>(&expression).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_read_forge_no_line_and_are_bounded() {
    own_process!(messages_that_cannot_be_read_forge_no_line_and_are_bounded);
    let log = Log::default();
    tracing_subscriber::registry().with(log.clone().with_filter(LevelFilter::INFO)).init();
    let vhost = TestVhost::new().await;
    let transport = oxlo::connect(vhost.url()).await.unwrap();
    let endpoint = Endpoint::new("1.0").method("echo", async || Ok::<_, Failure>(()));
    let server = RPCServer::builder(transport.clone(), Target::topic("t").server("one"))
        .endpoint(endpoint)
        .start()
        .await
        .unwrap();
    let drained = async || vhost.queue("t").await.is_some_and(|queue| queue.messages == 0);

    let json = "{content_type, <<\"application/json\">>}, {content_encoding, <<\"utf-8\">>}";
    let text = |text: &str| format!("<<\"{}\">>", text.replace('"', "\\\""));
    for (properties, body) in [
        (format!("{{content_type, <<\"a{FORGED}\">>}}"), text("{}")),
        (format!("{{content_type, <<\"application/json\">>}}, {{content_encoding, <<\"c{FORGED}\">>}}"), text("{}")),
        (format!("{json}, {{headers, [{{<<\"compression\">>, longstr, <<\"c{FORGED}\">>}}]}}"), text("{}")),
        (json.to_owned(), text(r#"{"oslo.version": "9\\n\\u001b[31m", "oslo.message": "{}"}"#)),
        (json.to_owned(), text(r#"{"method": "m\\n\\u001b[31m", "args": {}}"#)),
        (json.to_owned(), text(r#"{"method": "echo", "version": "1\\n\\u001b[31m", "args": {}}"#)),
        (json.to_owned(), text(r#"{"method": "echo", "namespace": "n\\n\\u001b[31m", "args": {}}"#)),
        (json.to_owned(), text(r#"{"method": "m", "args": {}, "_context_request_id": "r\\n\\u001b[31m"}"#)),
        (json.to_owned(), text(r#"{"method": "echo", "args": {}, "_msg_id": "m\\n\\u001b", "_reply_q": "reply_\\n"}"#)),
    ] {
        inject(&vhost, "t", &properties, &body, 1).await;
    }
    eventually(SOON, "odd messages are taken", drained, |drained| *drained).await;
    let odd = log.lines().len();
    assert!(odd >= 8, "{:?}", log.lines());

    let begun = Instant::now();
    inject(&vhost, "t", &format!("{{content_type, <<\"a{FORGED}\">>}}"), "<<\"[\">>", FLOOD).await;
    eventually(SOON, "the flood is over", drained, |drained| *drained).await;
    server.stop();
    server.wait().await.unwrap();
    transport.close().await;
    let lines = log.lines();
    let windows = begun.elapsed().as_secs() / oxlo::transport::limit::WINDOW.as_secs() + 2;
    let most = windows * u64::from(oxlo::transport::limit::LINES + 1) + 10;
    let flood = (lines.len() - odd) as u64;
    println!("figures: {FLOOD} messages that cannot be read left {flood} lines in the log");
    assert!(flood <= most, "{flood} lines, at most {most}");
    for line in &lines {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
