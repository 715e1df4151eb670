//! Transport URLs: `driver://[user[:password]@]host[:port][,...]/[virtual_host][?option=value&...]`.
//!
//! The grammar is that of `oslo_messaging.TransportURL`, except that text which oslo.messaging would misinterpret is
//! refused: a `#`, a port out of range, credentials that are not UTF-8, an unencoded `/` or `?` in a password.

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

/// The address of a broker: driver, hosts with their credentials, virtual host, and options of the driver.
///
/// ```
/// use oxlo_transport::TransportUrl;
///
/// let url: TransportUrl = "rabbit://nova:s%2Fcret@mq1:5672,nova:s%2Fcret@[::1]/prod?heartbeat_rate=3".parse()?;
/// assert_eq!(url.scheme(), "rabbit");
/// assert_eq!(url.hosts()[1].name(), "::1");
/// assert_eq!(url.virtual_host(), Some("prod"));
/// assert_eq!(url.to_string(), "rabbit://nova:***@mq1:5672,nova:***@[::1]/prod?heartbeat_rate=3");
/// # Ok::<(), oxlo_transport::UrlError>(())
/// ```
///
/// `Display` and `Debug` hide passwords, and query values whose names contain a word for password, secret or token;
/// [`to_string_with_secrets`](Self::to_string_with_secrets) shows them. Equality and hash ignore the query, as in
/// oslo.messaging: equal URLs address the same broker.
#[derive(Clone)]
pub struct TransportUrl {
    scheme: String,
    hosts: Vec<Host>,
    virtual_host: Option<String>,
    query: Vec<(String, String)>,
}

impl TransportUrl {
    /// Parses a URL; the same as [`FromStr`].
    ///
    /// # Errors
    ///
    /// [`UrlError`], which names the invalid part and its position, and never quotes text that may contain a password.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse::parse(text)
    }

    /// The driver's name: the scheme up to a `+`, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.scheme.split('+').next().unwrap_or_default()
    }

    /// The part of the scheme after the first `+`: `memory` in `kombu+memory://`.
    #[must_use]
    pub fn scheme_variant(&self) -> Option<&str> {
        self.scheme.split_once('+').map(|(_, variant)| variant)
    }

    /// The hosts, in the order of the URL. Empty if the URL has none (`rabbit://`, `rabbit:///vhost`); the driver then uses
    /// its default.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The virtual host, percent-decoded. `None` if the URL has none; the driver then uses its default.
    ///
    /// `rabbit://h` and `rabbit://h/` have none. `rabbit://h//` and `rabbit://h/%2F` have the virtual host `/`, which is also
    /// RabbitMQ's default. The first slash of the path is a separator; all others, including a trailing one, are part of the
    /// name.
    #[must_use]
    pub fn virtual_host(&self) -> Option<&str> {
        self.virtual_host.as_deref()
    }

    /// The options, decoded, in the order of first appearance. A repeated key appears once, with its values joined by `,`.
    #[must_use]
    pub fn query(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.query.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns a reader of the options, which converts them to their types and refuses unknown ones.
    pub fn options(&self) -> QueryReader<'_> {
        QueryReader::new(&self.query)
    }

    /// Sets an option, replacing its value if the URL has one.
    pub fn set_option(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.query.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.query.push((name, value)),
        }
    }

    /// The URL including its passwords. Parsing the result gives an equal URL with an equal query.
    ///
    /// Use it to pass the URL to another program. Never log the result; use `Display` for logs.
    #[must_use]
    pub fn to_string_with_secrets(&self) -> String {
        render::render(self, render::Secrets::Shown)
    }

    /// The hosts for display, without credentials: `mq1:5672,[::1]`.
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

/// A host of a URL. `Display` shows name and port only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    port: Option<u16>,
    credentials: Option<Credentials>,
}

impl Host {
    /// Host name, IPv4 address, or IPv6 address without brackets; the name of the bus for `memory://`. Empty if the URL has
    /// only a port or credentials (`rabbit://user:password@`): the driver's default host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, 1 to 65535; `None` is the driver's default.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The credentials of this host. Later hosts do not inherit them.
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
    /// The user name; empty in `:password@host`.
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

/// A secret text: its `Debug` and `Display` write `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Returns the text.
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
