//! Errors and what brokers say as one line of text, for states and logs.

use std::{
    borrow::Cow,
    collections::VecDeque,
    error::Error,
    fmt::Write as _,
    sync::{PoisonError, RwLock},
};

use oxlo_transport::text::one_line;

/// An error and all that caused it, outermost first, on one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    one_line(&text).into_owned()
}

/// How many passwords are known at most.
const SECRETS_MOST: usize = 64;
/// A shorter one would be found in any text.
const SECRET_LEAST: usize = 4;

static SECRETS: RwLock<VecDeque<Box<str>>> = RwLock::new(VecDeque::new());

/// Makes [`said`] replace a password from now on. A password equal to its user name is not treated as secret.
pub fn keep_secret(user: &str, password: &str) {
    let known = |secrets: &VecDeque<Box<str>>| secrets.iter().any(|secret| **secret == *password);
    if password.len() < SECRET_LEAST
        || password == user
        || known(&SECRETS.read().unwrap_or_else(PoisonError::into_inner))
    {
        return;
    }
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    if secrets.len() >= SECRETS_MOST {
        secrets.pop_front();
    }
    secrets.push_back(password.into());
}

/// What a broker says, on one line, without the passwords that it was sent.
#[must_use]
pub fn said(text: &str) -> String {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    let mut told = Cow::Borrowed(text);
    for secret in secrets.iter().filter(|secret| text.contains(&***secret)) {
        told = told.replace(&**secret, "***").into();
    }
    one_line(&told).into_owned()
}

/// What a broker said, as an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

impl Said {
    /// The text, as [`said`] shows it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(said(text))
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc, time::Duration};

    use oxlo_transport::TransportError;

    use super::*;

    #[test]
    fn a_broker_does_not_make_us_print_our_password() {
        keep_secret("nova", "tooth/fairy");
        keep_secret("guest", "guest");
        keep_secret("x", "abc");
        let told = said("no user nova with\npassword tooth/fairy, tooth/fairy! guest abc\u{1b}[0m");
        assert_eq!(told, "no user nova with password ***, ***! guest abc [0m");
        assert_eq!(Said::new("tooth/fairy").to_string(), "***");
        (0..1000).for_each(|number| keep_secret("x", &format!("password-{number}")));
        assert_eq!(SECRETS.read().unwrap_or_else(PoisonError::into_inner).len(), SECRETS_MOST);
    }

    #[test]
    fn causes_follow_on_one_line() {
        let source = Arc::new(io::Error::other("NOT_ALLOWED\n  - no such\r\nthing\n"));
        let error = TransportError::Unreachable {
            broker: "mq:1".to_owned(),
            waited: Duration::from_secs(3),
            source: Some(source),
        };
        assert_eq!(chain(&error), "no connection to mq:1 within 3s: NOT_ALLOWED - no such thing");
    }
}
