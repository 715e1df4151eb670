//! Formatting of URLs, with or without secrets.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::TransportUrl;

/// The characters that oslo.messaging escapes in users and passwords.
const CREDENTIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &CREDENTIAL.remove(b'/');

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Secrets {
    Hidden,
    Shown,
}

const HIDDEN: &str = "***";

pub(super) fn render(url: &TransportUrl, secrets: Secrets) -> String {
    let mut text = format!("{}://", url.scheme);
    for (index, host) in url.hosts.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if let Some(credentials) = &host.credentials {
            text.extend(utf8_percent_encode(&credentials.user, CREDENTIAL));
            if let Some(password) = &credentials.password {
                text.push(':');
                match secrets {
                    Secrets::Hidden => text.push_str(HIDDEN),
                    Secrets::Shown => text.extend(utf8_percent_encode(password.expose(), CREDENTIAL)),
                }
            }
            text.push('@');
        }
        text.push_str(&host.to_string());
    }
    text.push('/');
    if let Some(virtual_host) = &url.virtual_host {
        text.extend(utf8_percent_encode(virtual_host, PATH));
    }
    for (index, (key, value)) in url.query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.extend(utf8_percent_encode(key, CREDENTIAL));
        text.push('=');
        if secrets == Secrets::Hidden && is_secret(key) {
            text.push_str(HIDDEN);
        } else {
            text.extend(utf8_percent_encode(value, CREDENTIAL));
        }
    }
    text
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["passw", "secret", "token", "passphrase"].iter().any(|word| key.contains(word))
}
