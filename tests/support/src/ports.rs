//! TCP ports that stay reserved while a broker or proxy is down.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

// Below Linux's ephemeral range (32768 up): otherwise an outgoing connection could take the port of a stopped broker, and a client
// that reconnects on loopback could even connect to itself.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback TCP port that no other lease holds, in any process of this user, until this value is dropped.
///
/// The port is unbound: bind it, close it and bind it again as often as the test needs.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Leases a port that is free right now.
    ///
    /// # Panics
    ///
    /// When none of the 12 000 candidates is free.
    #[must_use]
    pub fn take() -> Self {
        let folder = lock_folder();
        // Processes start at different places, so that parallel tests seldom try the same candidate.
        let start = (std::process::id() % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            let port = FIRST + (u32::from(start) * 31 + u32::from(step)).rem_euclid(u32::from(COUNT)) as u16;
            if let Some(lease) = Self::try_take(&folder, port).unwrap_or_else(|error| {
                panic!("cannot lock a port under {}: {error}", folder.display());
            }) {
                return lease;
            }
        }
        panic!("no free TCP port between {FIRST} and {}", FIRST + COUNT);
    }

    fn try_take(folder: &std::path::Path, port: u16) -> io::Result<Option<Self>> {
        let lock = File::options().create(true).append(true).open(folder.join(port.to_string()))?;
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        Ok(free.then_some(Self { port, _lock: lock }))
    }

    /// The leased port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn lock_folder() -> PathBuf {
    let user = fs::metadata("/proc/self").map_or(0, |me| me.uid());
    let folder = std::env::temp_dir().join(format!("oxlo-test-ports-{user}"));
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}
