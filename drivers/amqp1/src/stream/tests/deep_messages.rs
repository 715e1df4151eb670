//! A message that aborts the process, with the guard and without it, in child processes.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fe2o3_amqp::{
    Connection, Receiver, Session,
    link::receiver::CreditMode,
    sasl_profile::SaslProfile,
    types::{messaging::Body, primitives::Value},
};
use oxlo_driver_kit::socket::{Peer, connect};

use super::wire;
use crate::{fe2o3_internals::GROWTH, receive, stream::GuardedStream};

const PORT: &str = "OXLO_TEST_PORT";
const GUARDED: &str = "OXLO_TEST_GUARDED";
const LIMIT: Duration = Duration::from_secs(60);
const SIGABRT: i32 = 6;

#[test]
fn with_the_guard_a_process_refuses_the_message_and_lives() {
    let (listener, child) = start(true);
    let mut session = accept(&listener);
    session.write_all(&wire::transfer(0, false, &wire::section(0x77, &wire::nested(6_000)))).unwrap();
    session.write_all(&wire::transfer(1, false, &wire::section(0x72, &wire::nested(6_000)))).unwrap();
    session.write_all(&wire::transfer(2, false, &wire::section(0x77, &[0, 0x44].repeat(30_000)))).unwrap();
    session.write_all(&wire::transfer(3, false, &wire::text("alive"))).unwrap();
    let (status, output) = ended(child);
    assert!(status.success() && output.contains("1 passed"), "{status}: {output}");
}

#[test]
fn without_the_guard_it_aborts() {
    let (listener, child) = start(false);
    let mut session = accept(&listener);
    session.write_all(&wire::transfer(0, false, &wire::section(0x77, &wire::nested(6_000)))).unwrap();
    let (status, output) = ended(child);
    assert_eq!(status.signal(), Some(SIGABRT), "{status}: {output}");
    assert!(output.contains("overflowed its stack"), "{output}");
}

/// Starts a child process that runs the test below, and the listener to which it connects.
fn start(guarded: bool) -> (TcpListener, (Child, File)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = tempfile::tempfile().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stream::tests::deep_messages::child_receives", "--ignored", "--nocapture"])
        .env(PORT, listener.local_addr().unwrap().port().to_string())
        .env(GUARDED, guarded.to_string())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .spawn()
        .unwrap();
    (listener, (child, output))
}

fn ended((mut child, mut output): (Child, File)) -> (std::process::ExitStatus, String) {
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill().unwrap();
            panic!("the child did not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut text).unwrap();
    (status, text)
}

/// Acts as a broker until the child's link has credit.
fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    header(&mut stream);
    stream.write_all(wire::SASL_HEADER).unwrap();
    stream.write_all(&wire::frame(1, &wire::described(0x40, 1, b"\xa3\x09ANONYMOUS"))).unwrap();
    frame(&mut stream);
    stream.write_all(&wire::frame(1, &wire::described(0x44, 1, &[0x50, 0]))).unwrap();
    header(&mut stream);
    stream.write_all(wire::AMQP_HEADER).unwrap();
    frame(&mut stream);
    stream.write_all(&wire::frame(0, &wire::described(0x10, 1, b"\xa1\x01s"))).unwrap();
    frame(&mut stream);
    let begin = [0x60, 0, 0, 0x43, 0x52, 100, 0x52, 100];
    stream.write_all(&wire::frame(0, &wire::described(0x11, 4, &begin))).unwrap();
    frame(&mut stream);
    let (source, target) = (wire::described(0x28, 1, b"\xa1\x01q"), wire::described(0x29, 1, b"\xa1\x01q"));
    let attach = [b"\xa1\x04deep\x43\x42\x40\x40".as_slice(), &source, &target, &[0x40, 0x40, 0x43]].concat();
    stream.write_all(&wire::frame(0, &wire::described(0x12, 10, &attach))).unwrap();
    frame(&mut stream); // flow
    stream
}

fn header(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 8]).unwrap();
}

fn frame(stream: &mut TcpStream) {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    stream.read_exact(&mut vec![0; u32::from_be_bytes(size) as usize - 4]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the other tests here"]
async fn child_receives() {
    let port: u16 = std::env::var(PORT).unwrap().parse().unwrap();
    // On a worker thread, which has the stack size of a service's tasks.
    tokio::spawn(async move {
        let builder = Connection::builder()
            .container_id("child")
            .scheme("amqp")
            .max_frame_size(65_536 + GROWTH)
            .sasl_profile(SaslProfile::Anonymous);
        let mut connection = if std::env::var(GUARDED).unwrap() == "true" {
            let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
            let stream = GuardedStream::new(connect(&peer, LIMIT).await.unwrap(), 65_536, 1 << 20, 0);
            builder.open_with_stream(stream).await.unwrap()
        } else {
            let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            builder.open_with_stream(tcp).await.unwrap()
        };
        let mut session = Session::begin(&mut connection).await.unwrap();
        let mut receiver = Receiver::builder()
            .name("deep")
            .source("q")
            .credit_mode(CreditMode::Auto(100))
            .attach(&mut session)
            .await
            .unwrap();
        for _ in 0..3 {
            let delivery = receiver.recv::<Body<Value>>().await.unwrap();
            assert!(receive::read(delivery.into_body(), 1 << 20).is_err());
        }
        let delivery = receiver.recv::<Body<Value>>().await.unwrap();
        let message = receive::read(delivery.into_body(), 1 << 20).unwrap();
        assert_eq!(message.body.as_deref(), Some(&b"alive"[..]));
    })
    .await
    .unwrap();
}
