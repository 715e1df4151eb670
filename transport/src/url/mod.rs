//! Transport URLs: `driver://[user[:password]@]host[:port][,...]/[virtual_host][?option=value&...]`.
//!
//! The grammar is that of `oslo_messaging.TransportURL`, except that what oslo.messaging would read as something else than
//! was meant is refused: a `#`, a port out of range, credentials that are not UTF-8, an unencoded `/` or `?` in a password.

mod parse;
mod query;
mod render;
#[cfg(test)]
mod tests;

use std::{fmt, hash, str::FromStr};

pub use self::{
    parse::UrlError,
    query::{OptionError, QueryReader},
};

/// Where the broker is: driver, hosts with their credentials, virtual host, and the driver's options.
///
/// ```
/// use oxlo_transport::TransportUrl;
///
/// let url: TransportUrl = "rabbit://nova:s%2Fcret@mq1:5672,nova:s%2Fcret@[::1]/prod?heartbeat_rate=3".parse()?;
/// assert_eq!(url.scheme(), "rabbit");
/// assert_eq!(url.hosts()[1].name(), "::1");
/// assert_eq!(url.virtual_host(), Some("prod"));
/// assert_eq!(url.to_string(), "rabbit://nova:***@mq1:5672,nova:***@[::1]/prod?heartbeat_rate=3");
/// # Ok::<(), oxlo_transport::url::UrlError>(())
/// ```
///
/// `Display` and `Debug` show no password and no query value whose name speaks of a password, secret or token;
/// [`to_string_with_secrets`](Self::to_string_with_secrets) does. Equality and hash ignore the query, as
/// oslo.messaging's do: two URLs that are equal lead to the same place.
#[derive(Clone)]
pub struct TransportUrl {
    scheme: String,
    hosts: Vec<Host>,
    virtual_host: Option<String>,
    query: Vec<(String, String)>,
}

impl TransportUrl {
    /// Reads a URL; the same as [`FromStr`].
    ///
    /// # Errors
    ///
    /// [`UrlError`], which names the part that is wrong and where it is, and never quotes a part that may hold a password.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse::parse(text)
    }

    /// The driver's name: the scheme up to a `+`, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.scheme.split('+').next().unwrap_or_default()
    }

    /// What follows the first `+` of the scheme: `memory` in `kombu+memory://`.
    #[must_use]
    pub fn scheme_variant(&self) -> Option<&str> {
        self.scheme.split_once('+').map(|(_, variant)| variant)
    }

    /// The hosts in the order they were given. Empty when the URL names none (`rabbit://`, `rabbit:///vhost`); the driver
    /// then takes its default.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The virtual host, percent-decoded; `None` when the URL names none, and then the driver takes its default.
    ///
    /// `rabbit://h` and `rabbit://h/` name none. `rabbit://h//` and `rabbit://h/%2F` name the one that is called `/`, which
    /// for RabbitMQ happens to be the default too. The path's first slash only separates; all others, a trailing one
    /// included, belong to the name.
    #[must_use]
    pub fn virtual_host(&self) -> Option<&str> {
        self.virtual_host.as_deref()
    }

    /// The options, decoded, in the order of first appearance. A key that was given several times appears once, its values
    /// joined with `,`.
    #[must_use]
    pub fn query(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.query.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Reads the options with their types, and refuses what nobody asked for.
    pub fn options(&self) -> QueryReader<'_> {
        QueryReader::new(&self.query)
    }

    /// Sets an option, in place of the URL's own value if it has one.
    pub fn set_option(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.query.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.query.push((name, value)),
        }
    }

    /// The URL with its passwords, so that parsing it gives an equal URL with an equal query.
    ///
    /// For handing it to another program. Never log the result; for that there is `Display`.
    #[must_use]
    pub fn to_string_with_secrets(&self) -> String {
        render::render(self, render::Secrets::Shown)
    }

    /// The hosts as a person should see them, without any credentials: `mq1:5672,[::1]`.
    #[must_use]
    pub fn hosts_for_display(&self) -> String {
        let places: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        places.join(",")
    }
}

impl FromStr for TransportUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&render::render(self, render::Secrets::Hidden))
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportUrl({self})")
    }
}

impl PartialEq for TransportUrl {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.hosts == other.hosts && self.virtual_host == other.virtual_host
    }
}

impl Eq for TransportUrl {}

impl hash::Hash for TransportUrl {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.scheme.hash(state);
        self.hosts.hash(state);
        self.virtual_host.hash(state);
    }
}

/// One host of a URL. `Display` shows name and port only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    port: Option<u16>,
    credentials: Option<Credentials>,
}

impl Host {
    /// Host name, IPv4 address, or IPv6 address without brackets; a bus name for `memory://`. Empty when only a port or
    /// credentials were given (`rabbit://user:password@`): the driver's default host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, 1 to 65535; `None` stands for the driver's default.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The credentials written before this very host. They are not inherited by the hosts after it.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// User and password of one host, percent-decoded once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    user: String,
    password: Option<Secret>,
}

impl Credentials {
    /// The user's name; empty in `:password@host`.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password: `None` in `user@host`, empty in `user:@host`.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }
}

/// A text that is not to be seen: its `Debug` and `Display` write `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
