//! A broker that speaks AMQP 0-9-1 and says what it should not: it forges and floods no log, and prints no password.
//!
//! A binary of its own, because the log of the whole process is looked through.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    fmt::Debug,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use oxlo_driver_rabbit::RabbitDriver;
use oxlo_transport::{Registry, limit};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
    util::SubscriberInitExt,
};

const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "tooth-fairy";
const FORGED: &str = "no room\n2026-11-28T00:00:00Z ERROR sshd: forged \x1b[31m tooth-fairy";
const STORM: usize = 3000;

/// Lines of oxlo as text: all that an event holds.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn with(&self, words: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(words)).count()
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

fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat();
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[1][..], &channel.to_be_bytes(), &size, &payload, &[0xCE]].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// Lets a client in, and once it may publish, blocks and unblocks it, and closes the connection.
fn serve(mut tcp: TcpStream) -> io::Result<()> {
    tcp.set_read_timeout(Some(SOON))?;
    tcp.read_exact(&mut [0; 8])?;
    let start = [&[0, 9, 0, 0, 0, 0][..], &long("PLAIN AMQPLAIN"), &long("en_US")].concat();
    tcp.write_all(&method(0, 10, 10, &start))?;
    let mut confirming = 0;
    loop {
        let mut head = [0; 7];
        tcp.read_exact(&mut head)?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(size).unwrap() + 1];
        tcp.read_exact(&mut payload)?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let answer = match (head[0], payload.get(..4)) {
            (1, Some([0, 10, 0, 11])) => method(0, 10, 30, &[0, 9, 0, 2, 0, 0, 0, 0]),
            (1, Some([0, 10, 0, 40])) => method(0, 10, 41, &[0]),
            (1, Some([0, 10, 0, 50])) => method(0, 10, 51, &[]),
            (1, Some([0, 20, 0, 10])) => method(channel, 20, 11, &[0; 4]),
            (1, Some([0, 20, 0, 40])) => method(channel, 20, 41, &[]),
            (1, Some([0, 85, 0, 10])) => {
                confirming += 1;
                method(channel, 85, 11, &[])
            }
            _ => continue,
        };
        tcp.write_all(&answer)?;
        if confirming == 2 {
            break;
        }
    }
    for _ in 0..STORM {
        tcp.write_all(&[method(0, 10, 60, &short(FORGED)), method(0, 10, 61, &[])].concat())?;
    }
    let close = [&320_u16.to_be_bytes()[..], &short(FORGED), &[0; 4]].concat();
    tcp.write_all(&method(0, 10, 50, &close))?;
    tcp.read_to_end(&mut Vec::new()).map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_forges_no_line_floods_no_log_and_makes_us_print_no_password() {
    let log = Log::default();
    tracing_subscriber::registry().with(log.clone().with_filter(LevelFilter::TRACE)).init();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let _ = serve(tcp.unwrap());
        }
    });
    let begun = Instant::now();
    let url = format!("rabbit://nova:{PASSWORD}@127.0.0.1:{port}/");
    let transport = Registry::new().with(RabbitDriver).transport(&url).connect().await.unwrap();
    while log.with("connection lost") == 0 {
        assert!(begun.elapsed() < SOON, "{:?}", log.lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let state = format!("{:?}", *transport.state().borrow());
    transport.close().await;

    let windows = begun.elapsed().as_secs() / limit::WINDOW.as_secs() + 2;
    let most = usize::try_from(windows * u64::from(limit::LINES + 1)).unwrap();
    for words in ["the broker blocks publishing", "the broker accepts messages again"] {
        let lines = log.with(words);
        assert!((1..=most).contains(&lines), "{words}: {lines} lines, at most {most}");
    }
    assert!(log.with("forged") > 0, "{:?}", log.lines());
    for line in log.lines().into_iter().chain([state]) {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains(PASSWORD), "{line:?}");
    }
}
