//! Transport URLs.

use oxlo_transport::TransportUrl;

use crate::pieces::Pieces;

/// A marker that occurs in no URL and in no error message.
const MARK: &str = "hunter2";

pub(crate) fn check(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        match text.parse::<TransportUrl>() {
            Ok(url) => accepted(&url),
            Err(error) => {
                let at = error.at();
                assert!(at.start <= at.end && at.end <= text.len(), "{at:?} is outside the text");
            }
        }
    }

    // Insert a secret at the first zero.
    let mut pieces = Pieces::of(data);
    let (before, after) = (pieces.text(), pieces.text());
    let text = format!("{before}{MARK}{after}");
    if before.contains(MARK) || after.contains(MARK) {
        return;
    }
    match text.parse::<TransportUrl>() {
        Err(error) => assert!(!format!("{error} {error:?}").contains(MARK), "{error} shows a possible password"),
        Ok(url) => {
            accepted(&url);
            let hosts = url.hosts();
            let elsewhere = hosts.iter().any(|host| {
                host.name().contains(MARK) || host.credentials().is_some_and(|known| known.user().contains(MARK))
            });
            // Percent-encoded text may decode to the marker as well.
            let open = url.query().any(|(key, _)| key.contains(MARK))
                || url.query().any(|(key, value)| value.contains(MARK) && !is_secret(key))
                || url.virtual_host().is_some_and(|name| name.contains(MARK))
                || url.scheme().contains(MARK)
                || url.scheme_variant().is_some_and(|variant| variant.contains(MARK));
            let shown = format!("{url} {url:?} {hosts:?} {}", url.hosts_for_display());
            assert_eq!(shown.contains(MARK), elsewhere || open, "{shown}");
            assert!(url.to_string_with_secrets().contains(MARK), "the secret is missing");
            options_do_not_quote(&url);
        }
    }
}

/// Whether the value of an option is secret, by the option names of the drivers.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    key.contains("passw") || key.contains("secret") || key.contains("token") || key.contains("passphrase")
}

fn accepted(url: &TransportUrl) {
    let whole = url.to_string_with_secrets();
    let again: TransportUrl = whole.parse().unwrap_or_else(|error| panic!("{whole:?} does not read back: {error}"));
    assert_eq!(&again, url);
    assert!(again.query().eq(url.query()));
    assert_eq!(again.to_string_with_secrets(), whole);

    let shown = url.to_string();
    assert_eq!(format!("{url:?}"), format!("TransportUrl({shown})"));
    let masked: TransportUrl = shown.parse().unwrap_or_else(|error| panic!("{shown:?} does not read back: {error}"));
    assert_eq!(masked.to_string(), shown);
    assert_eq!((masked.scheme(), masked.scheme_variant()), (url.scheme(), url.scheme_variant()));
    assert_eq!(masked.virtual_host(), url.virtual_host());
    assert_eq!(masked.hosts_for_display(), url.hosts_for_display());
    assert_eq!(masked.hosts().len(), url.hosts().len());
    for (masked, host) in masked.hosts().iter().zip(url.hosts()) {
        assert_eq!((masked.name(), masked.port()), (host.name(), host.port()));
        let user = |host: &oxlo_transport::Host| host.credentials().map(|known| known.user().to_owned());
        assert_eq!(user(masked), user(host));
        let password = |host: &oxlo_transport::Host| {
            host.credentials().and_then(|known| known.password()).map(|password| password.expose().to_owned())
        };
        assert_eq!(password(masked), password(host).map(|_| "***".to_owned()), "a password is shown");
    }
    assert_eq!(masked.query().len(), url.query().len());
    for ((key, shown), (wanted, value)) in masked.query().zip(url.query()) {
        assert_eq!(key, wanted);
        assert_eq!(shown, if is_secret(key) { "***" } else { value });
    }
}

/// Reads options as drivers do, and checks that no error shows a value.
fn options_do_not_quote(url: &TransportUrl) {
    let mut options = url.options();
    let errors = [
        options.bool("ssl").map(drop).err(),
        options.seconds("heartbeat_timeout_threshold", ..).map(drop).err(),
        options.finish().err(),
    ];
    for error in errors.into_iter().flatten() {
        let named = url.query().any(|(key, _)| key.contains(MARK));
        assert!(named || !format!("{error} {error:?}").contains(MARK), "{error}");
    }
}
