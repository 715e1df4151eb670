//! The hosts of a URL, and opening a socket to one of them.

use std::time::Duration;

use oxlo_transport::{
    TransportUrl,
    url::{Credentials, Secret},
};
use tokio::time::Instant;

use crate::{
    link::{ATTEMPT_LIMIT, AttemptError},
    socket::{Peer, Socket, connect},
    text::keep_secret,
    tls::Tls,
};

/// One broker of a URL's list, and who we are there.
#[derive(Clone, Debug)]
pub struct Host {
    /// A DNS name or an IP address, IPv6 without brackets.
    pub name: String,
    /// The TCP port.
    pub port: u16,
    /// User and password; `None` to log in as nobody.
    pub account: Option<Account>,
}

/// A user of the broker.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's name.
    pub user: String,
    /// The password, which `Debug` does not show.
    pub password: Secret,
}

impl Host {
    /// The hosts of a URL, or `localhost` if it names none, each with what `account` makes of its own credentials: none are
    /// inherited from another host.
    pub fn from_url(
        url: &TransportUrl,
        default_port: u16,
        account: impl Fn(Option<&Credentials>) -> Option<Account>,
    ) -> Vec<Self> {
        let host = |name: &str, port: Option<u16>, credentials| Self {
            name: if name.is_empty() { "localhost".to_owned() } else { name.to_owned() },
            port: port.unwrap_or(default_port),
            account: account(credentials),
        };
        if url.hosts().is_empty() {
            return vec![host("", None, None)];
        }
        url.hosts().iter().map(|given| host(given.name(), given.port(), given.credentials())).collect()
    }

    /// Host and port, as a person should see them.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { name, port, .. } = self;
        if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
    }

    /// The user; empty to log in as nobody.
    #[must_use]
    pub fn user(&self) -> &str {
        self.account.as_ref().map_or("", |account| &account.user)
    }

    /// Opens a socket to the host, and hides its password from all that is logged. `user_timeout` is how long sent data may
    /// stay unacknowledged.
    ///
    /// # Errors
    ///
    /// [`AttemptError`], permanent if TLS fails for a reason that stays.
    pub async fn dial(&self, tls: Option<Tls>, user_timeout: Option<Duration>) -> Result<Socket, AttemptError> {
        let begun = Instant::now();
        if let Some(Account { user, password }) = &self.account {
            keep_secret(user, password.expose());
        }
        let peer = Peer { host: self.name.clone(), port: self.port, tls, user_timeout };
        let unconnected = |error| AttemptError::unconnected(self.place(), begun.elapsed(), error);
        connect(&peer, ATTEMPT_LIMIT).await.map_err(unconnected)
    }
}

/// The hosts as a person should see them.
#[must_use]
pub fn places(hosts: &[Host]) -> String {
    hosts.iter().map(Host::place).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_inherited() {
        let url = "amqp://u:tooth-fairy@h1,h2:5673,[::1]".parse().unwrap();
        let account = |credentials: Option<&Credentials>| {
            let credentials = credentials?;
            Some(Account { user: credentials.user().to_owned(), password: credentials.password()?.clone() })
        };
        let hosts = Host::from_url(&url, 5672, account);
        assert_eq!(hosts.iter().map(Host::user).collect::<Vec<_>>(), ["u", "", ""]);
        assert_eq!(places(&hosts), "h1:5672, h2:5673, [::1]:5672");
        assert!(!format!("{hosts:?}").contains("tooth-fairy"));
        assert_eq!(places(&Host::from_url(&"amqp://".parse().unwrap(), 5671, account)), "localhost:5671");
    }
}
