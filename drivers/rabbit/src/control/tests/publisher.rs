//! A publisher of bytes that no client library would write.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::wire;

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a real broker with channel 1 open, confirms on. Blocks.
pub(super) struct Publisher {
    tcp: TcpStream,
}

impl Publisher {
    pub(super) fn connect(port: u16, vhost: &str) -> Self {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut publisher = Self { tcp };
        publisher.send(b"AMQP\0\0\x09\x01");
        publisher.expect(10, 10); // start
        let login =
            [&wire::long(b"")[..], &wire::short(b"PLAIN"), &wire::long(b"\0guest\0guest"), b"\x05en_US"].concat();
        publisher.send(&wire::method(0, 10, 11, &login));
        publisher.expect(10, 30); // tune
        publisher.send(&wire::method(
            0,
            10,
            31,
            &[&2047_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &[0, 0]].concat(),
        ));
        publisher.send(&wire::method(0, 10, 40, &[&wire::short(vhost.as_bytes())[..], b"\0\0"].concat()));
        publisher.expect(10, 41);
        publisher.send(&wire::method(1, 20, 10, b"\0"));
        publisher.expect(20, 11);
        publisher.send(&wire::method(1, 85, 10, b"\0"));
        publisher.expect(85, 11);
        publisher
    }

    /// Publishes with these properties and waits for the broker's confirm.
    pub(super) fn publish(&mut self, exchange: &[u8], key: &[u8], flags: u16, properties: &[u8], body: &[u8]) {
        let arguments = [b"\0\0", &wire::short(exchange)[..], &wire::short(key), b"\0"].concat();
        let header = wire::frame(2, 1, &wire::content_header(body.len() as u64, flags, properties));
        self.send(&[wire::method(1, 60, 40, &arguments), header, wire::frame(3, 1, body)].concat());
        self.expect(60, 80); // ack
    }

    fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).unwrap();
    }

    fn expect(&mut self, class: u16, method: u16) {
        let mut head = [0; 7];
        self.tcp.read_exact(&mut head).unwrap();
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(size).unwrap() + 1];
        self.tcp.read_exact(&mut payload).unwrap();
        let wanted = [class.to_be_bytes(), method.to_be_bytes()].concat();
        assert!(head[0] == 1 && payload.starts_with(&wanted), "{class}.{method} expected: {}", payload.escape_ascii());
    }
}
