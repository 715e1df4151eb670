//! Every mode of the fault proxy, in front of an echo server.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use oxlo_test_support::{Direction, FaultProxy, Hangup, Mode, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_millis(300);

/// An echo server and a proxy in front of it.
async fn proxy() -> FaultProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    FaultProxy::start_for(target).await
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

async fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    receive(stream, bytes).await;
}

async fn receive(stream: &mut TcpStream, bytes: &[u8]) {
    let mut answer = vec![0; bytes.len()];
    timeout(SOON, stream.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    assert_eq!(answer, bytes);
}

async fn silent(stream: &mut TcpStream) -> bool {
    timeout(QUIET, stream.read_u8()).await.is_err()
}

async fn end(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    timeout(SOON, stream.read(&mut [0; 16])).await.expect("an end in time").map_err(|error| error.kind())
}

#[tokio::test]
async fn pass_copies_and_counts() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    echo(&mut stream, &[7; 300_000]).await;
    assert_eq!((proxy.bytes_up(), proxy.bytes_down()), (300_000, 300_000));
    assert_eq!((proxy.connections(), proxy.open_connections()), (1, 1));
    stream.shutdown().await.unwrap();
    assert_eq!(end(&mut stream).await, Ok(0));
    eventually(SOON, "the connection is closed", async || proxy.open_connections(), |open| *open == 0).await;
    assert_eq!(
        proxy.url("rabbit://u:p@127.0.0.1:5672/v?x=1"),
        format!("rabbit://u:p@127.0.0.1:{}/v?x=1", proxy.port())
    );
}

#[tokio::test]
async fn refuse_closes_the_listener_and_spares_open_connections() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    echo(&mut stream, b"before").await;
    proxy.set(Mode::Refuse).await;
    assert_eq!(TcpStream::connect(proxy.addr()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    echo(&mut stream, b"still").await;
    proxy.hang_up(Hangup::Reset);
    assert_eq!(end(&mut stream).await, Err(ErrorKind::ConnectionReset));
    proxy.set(Mode::Pass).await;
    echo(&mut connect(&proxy).await, b"again").await;
}

#[tokio::test]
async fn blackhole_holds_bytes_back_and_pass_releases_them() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    echo(&mut stream, b"before").await;
    proxy.set(Mode::Blackhole).await;
    stream.write_all(b"held").await.unwrap();
    assert!(silent(&mut stream).await);
    let mut late = connect(&proxy).await;
    late.write_all(b"late").await.unwrap();
    assert!(silent(&mut late).await);
    assert_eq!(proxy.bytes_up(), 6);
    proxy.set(Mode::Pass).await;
    receive(&mut stream, b"held").await;
    receive(&mut late, b"late").await;
}

#[tokio::test]
async fn blackhole_in_one_direction_lets_the_other_through() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    echo(&mut stream, b"before").await;
    proxy.set(Mode::BlackholeOne(Direction::Down)).await;
    stream.write_all(b"held").await.unwrap();
    eventually(SOON, "the server has it", async || proxy.bytes_up(), |bytes| *bytes == 10).await;
    assert!(silent(&mut stream).await);
    proxy.set(Mode::BlackholeOne(Direction::Up)).await;
    receive(&mut stream, b"held").await;
    stream.write_all(b"more").await.unwrap();
    assert!(silent(&mut stream).await);
    assert_eq!(proxy.bytes_up(), 10);
}

#[tokio::test]
async fn hang_ups_reset_or_end_open_and_new_connections() {
    let proxy = proxy().await;
    for (how, expected) in [(Hangup::Reset, Err(ErrorKind::ConnectionReset)), (Hangup::Fin, Ok(0))] {
        proxy.set(Mode::Pass).await;
        let mut stream = connect(&proxy).await;
        echo(&mut stream, b"before").await;
        proxy.set(Mode::HangUp(how)).await;
        assert_eq!(end(&mut stream).await, expected);
        assert_eq!(end(&mut connect(&proxy).await).await, expected, "a new connection under {how:?}");
    }
}

#[tokio::test]
async fn a_stuck_connection_can_be_hung_up() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    // Nobody reads the echo, so that in the end both pumps wait for their writes.
    while timeout(QUIET, stream.write_all(&[0; 65_536])).await.is_ok() {}
    proxy.set(Mode::HangUp(Hangup::Reset)).await;
    eventually(SOON, "the connection is gone", async || proxy.open_connections(), |open| *open == 0).await;
}

#[tokio::test]
async fn one_byte_segments_arrive_one_by_one() {
    let proxy = proxy().await;
    proxy.set(Mode::OneByte).await;
    let mut stream = connect(&proxy).await;
    stream.write_all(b"abc").await.unwrap();
    receive(&mut stream, b"abc").await;
    echo(&mut stream, &[3; 5_000]).await;
}

#[tokio::test]
async fn delay_postpones_without_limiting_throughput() {
    let proxy = proxy().await;
    proxy.set(Mode::Delay(Duration::from_millis(200))).await;
    let mut stream = connect(&proxy).await;
    let begun = Instant::now();
    echo(&mut stream, b"x").await;
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    // 8 MB in 64 KiB pieces would take 25 s each way if they were delayed one after the other.
    let (begun, bytes) = (Instant::now(), vec![1; 8_000_000]);
    let (mut from, mut to) = stream.split();
    let mut answer = vec![0; bytes.len()];
    let (sent, received) = tokio::join!(to.write_all(&bytes), from.read_exact(&mut answer));
    sent.unwrap();
    received.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn throttle_limits_bytes_per_second() {
    let proxy = proxy().await;
    proxy.set(Mode::Throttle(10_000)).await;
    let mut stream = connect(&proxy).await;
    let begun = Instant::now();
    echo(&mut stream, &[5; 5_000]).await;
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    proxy.set(Mode::Pass).await;
    echo(&mut stream, &[5; 500_000]).await;
}

#[tokio::test]
async fn cut_passes_exactly_so_many_bytes() {
    let proxy = proxy().await;
    for bytes in [0, 1, 7] {
        proxy.set(Mode::Cut { direction: Direction::Down, bytes, hangup: Hangup::Fin }).await;
        let before = proxy.bytes_down();
        let mut stream = connect(&proxy).await;
        // With zero bytes the connection may be gone before this write.
        let _ = stream.write_all(b"0123456789").await;
        let mut answer = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end in time");
        assert_eq!(answer, &b"0123456789"[..bytes as usize]);
        assert_eq!(proxy.bytes_down() - before, bytes);
    }
    proxy.set(Mode::Cut { direction: Direction::Up, bytes: 4, hangup: Hangup::Reset }).await;
    let before = proxy.bytes_up();
    let mut stream = connect(&proxy).await;
    stream.write_all(b"0123456789").await.unwrap();
    while end(&mut stream).await.is_ok_and(|length| length > 0) {}
    assert_eq!(proxy.bytes_up() - before, 4);
}

#[tokio::test]
async fn a_dropped_proxy_leaves_nothing_open() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    echo(&mut stream, b"before").await;
    let addr = proxy.addr();
    drop(proxy);
    let _ = end(&mut stream).await;
    eventually(SOON, "the port is closed", async || TcpStream::connect(addr).await.is_err(), |closed| *closed).await;
}
