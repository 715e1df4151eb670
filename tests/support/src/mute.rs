//! A peer that never answers.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::wait::eventually;

/// Time limit for a peer to notice that a connection was closed.
const SOON: Duration = Duration::from_secs(20);

/// Accepts connections on a loopback port, reads, and never writes. Dropping it closes them.
#[derive(Debug)]
pub struct MutePeer {
    port: u16,
    ears: Ears,
    _acceptor: JoinSet<()>,
}

/// The bytes received on one connection.
#[derive(Debug)]
struct Heard {
    said: Vec<u8>,
    open: bool,
}

#[derive(Clone, Debug, Default)]
struct Ears(Arc<Mutex<Vec<Heard>>>);

impl MutePeer {
    /// Starts a peer on a free port.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let ears = Ears::default();
        let (mut acceptor, theirs) = (JoinSet::new(), ears.clone());
        acceptor.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(theirs.clone().listen(client));
            }
        });
        Self { port, ears, _acceptor: acceptor }
    }

    /// Where it accepts connections, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.ears.lock().len()
    }

    /// Waits until every connection was closed by the other side, and returns all bytes received.
    ///
    /// # Panics
    ///
    /// When none was opened, or one stays open.
    pub async fn heard(&self) -> Vec<u8> {
        let closed = async || self.ears.lock().iter().filter(|it| !it.open).count();
        eventually(SOON, "connections were opened and closed", closed, |closed| {
            *closed > 0 && *closed == self.accepted()
        })
        .await;
        self.ears.lock().iter().flat_map(|it| it.said.clone()).collect()
    }
}

impl Ears {
    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self, mut client: TcpStream) {
        let own = {
            let mut all = self.lock();
            all.push(Heard { said: Vec::new(), open: true });
            all.len() - 1
        };
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            self.lock()[own].said.extend_from_slice(&buffer[..count]);
        }
        self.lock()[own].open = false;
    }
}
