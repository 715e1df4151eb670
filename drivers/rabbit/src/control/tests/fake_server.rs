//! A fake broker: the part of AMQP 0-9-1 that a consumer needs.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use super::wire;

/// How long a read may take, so that no test hangs.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The broker's side of a connection.
pub(super) struct Session {
    tcp: TcpStream,
}

pub(super) fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

impl Session {
    /// Accepts a client, until it has answered `connection.start`.
    pub(super) fn greet(listener: &TcpListener) -> io::Result<Self> {
        let (tcp, _) = listener.accept()?;
        tcp.set_read_timeout(Some(READ_LIMIT))?;
        let mut session = Self { tcp };
        let mut greeting = [0; 8];
        session.tcp.read_exact(&mut greeting)?;
        assert_eq!(&greeting, b"AMQP\0\0\x09\x01");
        session.send(&wire::start(b"\x0ccapabilitiesF\0\0\0\0"))?;
        session.expect(10, 11)?; // start-ok
        Ok(session)
    }

    /// Tunes the connection, and returns the client's `frame_max`.
    pub(super) fn tune(&mut self, frame_max: u32, heartbeat: u16) -> io::Result<u32> {
        self.send(&wire::tune(2047, frame_max, heartbeat))?;
        let tuned = self.expect(10, 31)?; // tune-ok
        Ok(u32::from_be_bytes([tuned[2], tuned[3], tuned[4], tuned[5]]))
    }

    /// Opens the connection.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.expect(10, 40)?; // open
        self.send(&wire::method(0, 10, 41, b"\0"))
    }

    /// Accepts a client, until it consumes on channel 1; returns its consumer tag too.
    pub(super) fn accept(listener: &TcpListener) -> io::Result<(Self, Vec<u8>)> {
        let mut session = Self::greet(listener)?;
        session.tune(131_072, 0)?;
        session.open()?;
        session.expect(20, 10)?; // channel.open
        session.send(&wire::method(1, 20, 11, b"\0\0\0\0"))?;
        let consume = session.expect(60, 20)?;
        // reserved (2), queue, consumer tag
        let tag_at = 2 + 1 + usize::from(consume[2]);
        let tag = consume[tag_at + 1..][..usize::from(consume[tag_at])].to_vec();
        session.send(&wire::method(1, 60, 21, &wire::short(&tag)))?;
        Ok((session, tag))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.write_all(bytes)
    }

    /// Waits for a method, skipping others and heartbeats, and returns its arguments.
    pub(super) fn expect(&mut self, class: u16, method: u16) -> io::Result<Vec<u8>> {
        loop {
            let mut head = [0; 7];
            self.tcp.read_exact(&mut head)?;
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
            let mut payload = vec![0; usize::try_from(size).unwrap() + 1];
            self.tcp.read_exact(&mut payload)?;
            let wanted = [class.to_be_bytes(), method.to_be_bytes()].concat();
            if head[0] == 1 && payload.starts_with(&wanted) {
                payload.pop();
                return Ok(payload.split_off(4));
            }
        }
    }
}
