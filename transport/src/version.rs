//! Versions of RPC interfaces, `major.minor[.revision]`, and oslo.messaging's compatibility rule.

use std::{cmp::Ordering, fmt, hash, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The version of an RPC interface: `major.minor` or `major.minor.revision`, each part a number up to `u64::MAX`.
///
/// Order, equality and hash treat a missing revision as 0, so `1.2 == 1.2.0`; [`Display`](fmt::Display) and serde preserve
/// the original form, because a peer may compare the text.
///
/// The default is `1.0`, the version of a message or an endpoint without one in oslo.messaging.
///
/// ```
/// use oxlo_transport::Version;
///
/// let implemented: Version = "1.4".parse()?;
/// assert!(Version::new(1, 2).is_compatible_with(&implemented));
/// assert!(!Version::new(1, 5).is_compatible_with(&implemented));
/// assert!(!Version::new(2, 0).is_compatible_with(&implemented));
/// # Ok::<(), oxlo_transport::VersionError>(())
/// ```
#[derive(Clone)]
pub struct Version {
    number: semver::Version,
    revision_written: bool,
}

impl Version {
    /// Creates the version `major.minor`, without a revision.
    #[must_use]
    pub const fn new(major: u64, minor: u64) -> Self {
        Self { number: semver::Version::new(major, minor, 0), revision_written: false }
    }

    /// Sets the revision, which is then also displayed.
    #[must_use]
    pub fn with_revision(mut self, revision: u64) -> Self {
        self.number.patch = revision;
        self.revision_written = true;
        self
    }

    /// The first number. Versions with different majors are never compatible, not even with major 0.
    #[must_use]
    pub const fn major(&self) -> u64 {
        self.number.major
    }

    /// The second number: a higher minor adds to the interface.
    #[must_use]
    pub const fn minor(&self) -> u64 {
        self.number.minor
    }

    /// The third number, 0 if none was given.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.number.patch
    }

    /// Whether an endpoint that implements `implemented` can serve a request for this version.
    ///
    /// The majors must be equal, and this minor must not be above the implemented one; revisions are compared only if the
    /// minors are equal. This is the rule of `oslo_messaging._utils.version_is_compatible` (whose arguments are in reverse
    /// order). A client's version cap follows the same rule: a request is sent if it is compatible with the cap.
    ///
    /// The relation is not symmetric: `1.2` is compatible with an implementation of `1.4`, but not the reverse.
    #[must_use]
    pub fn is_compatible_with(&self, implemented: &Version) -> bool {
        self.major() == implemented.major()
            && match self.minor().cmp(&implemented.minor()) {
                Ordering::Less => true,
                Ordering::Equal => self.revision() <= implemented.revision(),
                Ordering::Greater => false,
            }
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::new(1, 0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.revision_written {
            f.pad(&format!("{}.{}.{}", self.major(), self.minor(), self.revision()))
        } else {
            f.pad(&format!("{}.{}", self.major(), self.minor()))
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

impl hash::Hash for Version {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Parses `major.minor` or `major.minor.revision`.
    ///
    /// # Errors
    ///
    /// [`VersionError`] if there are fewer than two or more than three parts, or if a part is not a plain decimal number
    /// below 2^64: no sign, no space, no leading zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || VersionError { text: text.chars().take(SHOWN).collect() };
        let mut parts = text.as_bytes().split(|byte| *byte == b'.').map(number);
        let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else {
            return Err(refused());
        };
        let version = Self::new(major, minor);
        match (parts.next(), parts.next()) {
            (None, None) => Ok(version),
            (Some(Some(revision)), None) => Ok(version.with_revision(revision)),
            _ => Err(refused()),
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if matches!(digits, [] | [b'0', _, ..]) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

impl TryFrom<&str> for Version {
    type Error = VersionError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<(u64, u64)> for Version {
    fn from((major, minor): (u64, u64)) -> Self {
        Self::new(major, minor)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version as text, major.minor[.revision]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Version, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The maximum number of characters of an invalid text that are shown; it may come from a message.
const SHOWN: usize = 40;

/// The error of parsing an invalid version.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a version: write major.minor or major.minor.revision, such as \"1.2\" or \"1.2.3\"")]
pub struct VersionError {
    text: String,
}

crate::debug_as_chain!(VersionError);

impl VersionError {
    /// The invalid text, truncated to its first 40 characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
