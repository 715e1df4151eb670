//! Parsing of URLs.

use std::{net::Ipv6Addr, ops::Range};

use percent_encoding::percent_decode_str;

use super::{Credentials, Host, Secret, TransportUrl};

/// The error of parsing an invalid transport URL. It names the invalid part and its byte range, and quotes nothing: text
/// that looks like a port may be part of a password.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("transport URL: {problem} (bytes {}..{})", .at.start, .at.end)]
pub struct UrlError {
    problem: Problem,
    at: Range<usize>,
}

crate::debug_as_chain!(UrlError);

impl UrlError {
    /// The byte range of the invalid part in the given text.
    #[must_use]
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the scheme is missing; start with the driver's name, as in rabbit://host")]
    NoScheme,
    #[error("the scheme must start with a letter, followed by letters, digits, +, - and .")]
    Scheme,
    #[error("the scheme must be followed by ://")]
    NoSlashes,
    #[error("a # is not allowed; write %23")]
    Fragment,
    #[error("white space and control characters are not allowed; percent-encode them")]
    Space,
    #[error(
        "the port of host {0} is not a number from 1 to 65535; if it belongs to a password, percent-encode its \
         / ? # @ : and , characters"
    )]
    Port(usize),
    #[error("host {0} is not an IPv6 address; brackets and multiple colons are only allowed in IPv6 addresses")]
    Ipv6(usize),
    #[error("only :port may follow the bracket of host {0}")]
    AfterBracket(usize),
    #[error("the name of host {0} contains a bracket or a backslash")]
    Name(usize),
    #[error("the {what} is not UTF-8 after percent-decoding")]
    NotUtf8 { what: String },
    #[error(
        "there is an @ after the hosts, but the last host has no credentials; write / and ? in a password as %2F and \
         %3F, and a literal @ as %40"
    )]
    LateAt,
}

fn error<T>(problem: Problem, at: Range<usize>) -> Result<T, UrlError> {
    Err(UrlError { problem, at })
}

pub(super) fn parse(text: &str) -> Result<TransportUrl, UrlError> {
    let whole = 0..text.len();
    let Some(colon) = text.find(':').filter(|colon| *colon > 0) else {
        return error(Problem::NoScheme, whole);
    };
    let scheme = &text[..colon];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.as_bytes()[0].is_ascii_alphabetic() || !scheme.bytes().all(plain) {
        return error(Problem::Scheme, 0..colon);
    }
    let begin = colon + "://".len();
    if !text[colon..].starts_with("://") {
        return error(Problem::NoSlashes, colon..text.len());
    }
    if let Some(at) = text.find('#') {
        return error(Problem::Fragment, at..at + 1);
    }
    if let Some((at, found)) = text.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control()) {
        return error(Problem::Space, at..at + found.len_utf8());
    }

    let authority_end = text[begin..].find(['/', '?']).map_or(text.len(), |found| begin + found);
    let path_end = text[authority_end..].find('?').map_or(text.len(), |found| authority_end + found);
    let authority = &text[begin..authority_end];

    let mut hosts = Vec::new();
    let mut at = begin;
    for item in authority.split(',') {
        if !item.is_empty() {
            hosts.push(host(item, at, hosts.len() + 1)?);
        }
        at += item.len() + 1;
    }
    // A password with an unencoded / or ? ends the authority early, and the rest would be shown as a path.
    if !authority.rsplit(',').next().unwrap_or_default().contains('@')
        && let Some(found) = text[authority_end..].find('@')
    {
        let at = authority_end + found;
        return error(Problem::LateAt, at..at + 1);
    }

    let path = (authority_end + 1).min(path_end)..path_end;
    let virtual_host = decode(&text[path.clone()], path.start, || "virtual host".to_owned())?;
    let query = query(&text[(path_end + 1).min(text.len())..], path_end + 1)?;
    Ok(TransportUrl {
        scheme: scheme.to_ascii_lowercase(),
        hosts,
        virtual_host: Some(virtual_host).filter(|name| !name.is_empty()),
        query,
    })
}

fn host(item: &str, begin: usize, number: usize) -> Result<Host, UrlError> {
    let (credentials, place_begin) = match item.rsplit_once('@') {
        Some((before, _)) => {
            let (user, password) = match before.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (before, None),
            };
            let user_end = begin + user.len();
            let password = password
                .map(|password| decode(password, user_end + 1, || format!("password of host {number}")))
                .transpose()?;
            let user = decode(user, begin, || format!("user of host {number}"))?;
            (Some(Credentials { user, password: password.map(Secret::from) }), begin + before.len() + 1)
        }
        None => (None, begin),
    };
    let (name, port) = place(&item[place_begin - begin..], place_begin, number)?;
    Ok(Host { name: name.to_owned(), port, credentials })
}

/// `name`, `name:port`, `[ipv6]`, `[ipv6]:port`, or a bare IPv6 address, which cannot have a port.
fn place(text: &str, begin: usize, number: usize) -> Result<(&str, Option<u16>), UrlError> {
    let whole = begin..begin + text.len();
    if let Some(bracketed) = text.strip_prefix('[') {
        let Some((name, rest)) = bracketed.split_once(']') else {
            return error(Problem::Ipv6(number), whole);
        };
        if !is_ipv6(name) {
            return error(Problem::Ipv6(number), whole);
        }
        let after = begin + name.len() + 2;
        return match rest.strip_prefix(':') {
            Some(digits) => Ok((name, Some(port(digits, after + 1, number)?))),
            None if rest.is_empty() => Ok((name, None)),
            None => error(Problem::AfterBracket(number), after..whole.end),
        };
    }
    let (name, digits) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            return if is_ipv6(text) { Ok((text, None)) } else { error(Problem::Ipv6(number), whole) };
        }
        Some((name, digits)) => (name, Some(digits)),
        None => (text, None),
    };
    if let Some(at) = name.find(['[', ']', '\\']) {
        return error(Problem::Name(number), begin + at..begin + at + 1);
    }
    let port = digits.map(|digits| port(digits, begin + name.len() + 1, number)).transpose()?;
    Ok((name, port))
}

/// Accepts an address with or without a zone, as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "zone"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'-' | b'.' | b'_' | b'~');
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.bytes().all(plain)
}

fn port(digits: &str, begin: usize, number: usize) -> Result<u16, UrlError> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain && port > 0 => Ok(port),
        _ => error(Problem::Port(number), begin..begin + digits.len()),
    }
}

fn query(text: &str, begin: usize) -> Result<Vec<(String, String)>, UrlError> {
    let mut query: Vec<(String, String)> = Vec::new();
    let mut at = begin;
    for pair in text.split('&').filter(|_| !text.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value_begin = at + key.len() + 1;
        let number = query.len() + 1;
        let key = decode(&key.replace('+', " "), at, || format!("name of option {number}"))?;
        let value = decode(&value.replace('+', " "), value_begin, || format!("value of option {number}"))?;
        at += pair.len() + 1;
        if pair.is_empty() {
            continue;
        }
        match query.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => query.push((key, value)),
        }
    }
    Ok(query)
}

/// Percent-decodes once. A percent sign without two hexadecimal digits is literal, as in Python.
fn decode(text: &str, begin: usize, what: impl FnOnce() -> String) -> Result<String, UrlError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => error(Problem::NotUtf8 { what: what() }, begin..begin + text.len()),
    }
}
