//! Options that the URLs of the drivers have in common: refusals, and TLS.

use std::path::PathBuf;

use oxlo_transport::{TransportError, TransportUrl, url::QueryReader};

use crate::tls::{MinVersion, Tls, TlsOptions};

/// An option that cannot be meant as it is written.
#[must_use]
pub fn contradiction(option: &str, reason: &str) -> TransportError {
    TransportError::Config { option: option.to_owned(), reason: reason.to_owned() }
}

/// Reads `ssl`, `ssl_ca_file`, `ssl_cert_file` and `ssl_key_file`; `None` without TLS. The scheme `secure` implies TLS, the
/// scheme `plain` does not.
///
/// # Errors
///
/// `Config` if what is set contradicts the scheme or means nothing without TLS.
pub fn tls(
    url: &TransportUrl,
    options: &mut QueryReader<'_>,
    (plain, secure): (&str, &str),
    min_version: MinVersion,
) -> Result<Option<TlsOptions>, TransportError> {
    let asked = options.bool("ssl")?;
    let mut path = |name| options.text(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let (ca_file, cert_file, key_file) = (path("ssl_ca_file"), path("ssl_cert_file"), path("ssl_key_file"));
    if url.scheme() == secure {
        if asked == Some(false) {
            let reason = format!("it is off, but the scheme {secure}:// asks for TLS; use {plain}://");
            return Err(contradiction("ssl", &reason));
        }
    } else if asked != Some(true) {
        let given = [("ssl_ca_file", &ca_file), ("ssl_cert_file", &cert_file), ("ssl_key_file", &key_file)];
        return match given.iter().find(|(_, path)| path.is_some()) {
            Some((name, _)) => {
                let reason = format!("it is set, but ssl is off; add ssl=true or use {secure}://");
                Err(contradiction(name, &reason))
            }
            None => Ok(None),
        };
    }
    Ok(Some(TlsOptions { ca_file, cert_file, key_file, min_version }))
}

/// Reads the TLS material, away from the runtime's threads.
///
/// # Errors
///
/// `Config`, naming the option and the file.
pub async fn load(options: Option<TlsOptions>) -> Result<Option<Tls>, TransportError> {
    let Some(options) = options else { return Ok(None) };
    match tokio::task::spawn_blocking(move || Tls::load(&options)).await {
        Ok(Ok(tls)) => Ok(Some(tls)),
        Ok(Err(error)) => {
            let (option, reason) = error.into_parts();
            Err(TransportError::Config { option: option.to_owned(), reason })
        }
        Err(_) => Err(TransportError::Closed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_asked_for_by_scheme_or_option() {
        let read = |url: &str| {
            let url: TransportUrl = url.parse().unwrap();
            tls(&url, &mut url.options(), ("amqp", "amqps"), MinVersion::Tls12)
        };
        assert!(read("amqp://h").unwrap().is_none());
        assert!(read("amqps://h").unwrap().is_some());
        assert!(read("amqp://h/?ssl=true").unwrap().is_some());
        for (url, wanted) in [
            ("amqps://h/?ssl=false", "option `ssl`: it is off, but the scheme amqps:// asks for TLS; use amqp://"),
            (
                "amqp://h/?ssl_ca_file=/ca.pem",
                "option `ssl_ca_file`: it is set, but ssl is off; add ssl=true or use amqps://",
            ),
        ] {
            assert_eq!(read(url).unwrap_err().to_string(), wanted);
        }
    }
}
