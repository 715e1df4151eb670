//! From a host name to a TCP connection with the options that a long-lived AMQP connection needs.

use std::{fmt, io, net::SocketAddr, time::Duration};

use rand::seq::SliceRandom;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

/// How long an address may take while others are left to try.
const ADDRESS_LIMIT: Duration = Duration::from_secs(3);
// The same as oslo.messaging's rabbit driver sets.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 9;

/// A host that could not be dialled. Another attempt may succeed.
#[derive(Debug)]
pub struct DialError {
    host: String,
    port: u16,
    cause: DialCause,
}

#[derive(Debug)]
enum DialCause {
    Resolve(io::Error),
    NoAddress,
    Addresses(Vec<(SocketAddr, io::Error)>),
}

impl DialError {
    /// Whether the host is there and nobody listens on the port, at any of its addresses.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(&self.cause, DialCause::Addresses(attempts)
            if attempts.iter().all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused))
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, cause } = self;
        match cause {
            DialCause::Resolve(error) => write!(f, "cannot resolve {host}: {error}"),
            DialCause::NoAddress => write!(f, "cannot resolve {host}: the name has no address"),
            DialCause::Addresses(attempts) => {
                write!(f, "cannot connect to {host}:{port}")?;
                for (place, (address, error)) in attempts.iter().enumerate() {
                    write!(f, "{} {address}: {error}", if place == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DialError {}

/// Connects to the first address of `host` that answers, within `limit` for everything, name resolution included.
///
/// Addresses of one family are tried in random order, the family that the system prefers first. While others are left an
/// address gets its share of the time, 3 s at most. `user_timeout` is how long sent data may stay
/// unacknowledged before the kernel gives the connection up (Linux; elsewhere it has no effect).
///
/// # Errors
///
/// The error names the host, every address that was tried, and each one's cause.
///
/// # Cancel safety
///
/// Dropping the future closes what it had opened.
pub async fn dial(
    host: &str,
    port: u16,
    limit: Duration,
    user_timeout: Option<Duration>,
) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + limit;
    let failed = |cause| DialError { host: host.to_owned(), port, cause };
    let addresses: Vec<SocketAddr> = match timeout(limit, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(failed(DialCause::Resolve(error))),
        Err(_) => return Err(failed(DialCause::Resolve(out_of_time(limit)))),
    };
    if addresses.is_empty() {
        return Err(failed(DialCause::NoAddress));
    }
    any_of(shuffled(addresses), deadline, user_timeout).await.map_err(|attempts| failed(DialCause::Addresses(attempts)))
}

async fn any_of(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
    user_timeout: Option<Duration>,
) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
    let mut attempts = Vec::new();
    let count = addresses.len();
    for (place, address) in addresses.into_iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = match u32::try_from(count - place) {
            Ok(1) => left,
            Ok(addresses) => (left / addresses).min(ADDRESS_LIMIT),
            Err(_) => ADDRESS_LIMIT,
        };
        let outcome = match timeout(limit, TcpStream::connect(address)).await {
            Ok(outcome) => outcome.and_then(|stream| prepare(&stream, user_timeout).map(|()| stream)),
            Err(_) => Err(out_of_time(limit)),
        };
        match outcome {
            Ok(stream) => return Ok(stream),
            Err(error) => attempts.push((address, error)),
        }
    }
    Err(attempts)
}

fn prepare(stream: &TcpStream, user_timeout: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(user_timeout)?;
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
    Ok(())
}

fn out_of_time(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:.1?}"))
}

/// So that the processes of a fleet spread over a name's addresses, as resolvers return them sorted.
fn shuffled(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    preferred.shuffle(&mut rand::rng());
    others.shuffle(&mut rand::rng());
    preferred.append(&mut others);
    preferred
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// TEST-NET-1 (RFC 5737): routed nowhere, so that a connect hangs or is refused by the network.
    const DEAD: &str = "192.0.2.1:5672";

    #[tokio::test]
    async fn a_dead_address_costs_its_share_and_the_next_one_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let start = Instant::now();
        let limit = Duration::from_secs(4);
        let stream = any_of(vec![DEAD.parse().unwrap(), alive], start + limit, None).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(start.elapsed() < Duration::from_millis(2_500), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn the_socket_has_the_options_of_a_long_lived_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let limit = Duration::from_secs(5);
        let stream = dial("127.0.0.1", port, limit, Some(Duration::from_secs(60))).await.unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        }
    }

    #[tokio::test]
    async fn an_error_names_host_address_and_cause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial("127.0.0.1", port, Duration::from_secs(5), None).await.unwrap_err().to_string();
        assert!(error.contains(&format!("cannot connect to 127.0.0.1:{port}: 127.0.0.1:{port}: ")), "{error}");
        assert!(error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_named() {
        let error = dial("no-such-host.invalid", 5672, Duration::from_secs(20), None).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot resolve no-such-host.invalid: "), "{error}");
    }

    #[tokio::test]
    async fn the_limit_holds_for_all_addresses_together() {
        let start = Instant::now();
        let limit = Duration::from_millis(300);
        let attempts = any_of(vec![DEAD.parse().unwrap(); 3], start + limit, None).await.unwrap_err();
        assert_eq!(attempts.len(), 3);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn the_preferred_family_stays_first() {
        let addresses = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"].map(|text| text.parse().unwrap());
        let order = shuffled(addresses.to_vec());
        assert!(order[..3].iter().all(SocketAddr::is_ipv6), "{order:?}");
        assert_eq!(order.len(), 5);
    }
}
