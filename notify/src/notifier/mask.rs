//! Masks secrets in logged notifications.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// Replaces a secret.
const MASK: &str = "***";

/// A key that contains one of these words, in any case, holds a secret. The words are those of
/// `oslo_utils.strutils.mask_password`.
const WORDS: [&str; 37] = [
    "adminpass",
    "admin_pass",
    "password",
    "admin_password",
    "auth_token",
    "new_pass",
    "auth_password",
    "secret_uuid",
    "secret",
    "sys_pswd",
    "token",
    "configdrive",
    "chappassword",
    "encrypted_key",
    "private_key",
    "fernetkey",
    "sslkey",
    "passphrase",
    "cephclusterfsid",
    "octaviaheartbeatkey",
    "rabbitcookie",
    "cephmanilaclientkey",
    "pacemakerremoteauthkey",
    "designaterndckey",
    "cephadminkey",
    "heatauthencryptionkey",
    "cephclientkey",
    "keystonecredential",
    "barbicansimplecryptokek",
    "cephrgwkey",
    "swifthashsuffix",
    "migrationsshkey",
    "cephmdskey",
    "cephmonkey",
    "chapsecret",
    "authorization",
    "credential",
];

/// The forms of a key and its secret in a text. Group 1 is the text before the secret, group 2 the text after it.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let words = WORDS.join("|");
    [
        // "key": "secret", also with a prefix, as in JSON and in Python's repr
        format!(r#"(?is)(["'][^"']*(?:{words})[0-9]*["']\s*[:,]\s*u?")[^"]*(")"#),
        format!(r#"(?is)(["'][^"']*(?:{words})[0-9]*["']\s*[:,]\s*u?')[^']*(')"#),
        // key = "secret", key "secret"
        format!(r#"(?is)((?:{words})[0-9]*(?:\s*=\s*|\s+)")[^"]*(")"#),
        format!(r#"(?is)((?:{words})[0-9]*(?:\s*=\s*|\s+)')[^']*(')"#),
        // key=secret
        format!(r#"(?is)((?:{words})[0-9]*\s*=\s*)[^\s'"]+()"#),
        // --key secret
        format!(r#"(?is)(--(?:{words})[0-9]*\s+)[^\s'"=]+()"#),
        // <key>secret</key>
        format!(r"(?is)(<(?:{words})[0-9]*>)[^<]*(</)"),
    ]
    .iter()
    .filter_map(|form| Regex::new(form).ok())
    .collect()
});

/// Whether the value of this key is a secret.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// Replaces every secret in a JSON value: the whole value of a secret's key, and secrets within other texts.
pub(crate) fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if is_secret(key) {
                    *value = Value::from(MASK);
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask),
        Value::String(text) => mask_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn mask_text(text: &mut String) {
    if !is_secret(text) {
        return;
    }
    for form in FORMS.iter() {
        let masked = form.replace_all(text, |found: &Captures<'_>| {
            format!("{}{MASK}{}", &found[1], found.get(2).map_or("", |after| after.as_str()))
        });
        if let std::borrow::Cow::Owned(masked) = masked {
            *text = masked;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masked(mut value: Value) -> Value {
        mask(&mut value);
        value
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(FORMS.len(), 7, "a form is no regular expression");
    }

    #[test]
    fn what_stands_under_a_secrets_key_is_masked_as_a_whole_and_at_any_depth() {
        let value = json!({"user": "u", "adminPass": "x", "n": [{"my_TOKEN_id": {"a": 1}, "kept": 2}], "secret": null});
        let wanted =
            json!({"user": "u", "adminPass": "***", "n": [{"my_TOKEN_id": "***", "kept": 2}], "secret": "***"});
        assert_eq!(masked(value), wanted);
    }

    #[test]
    fn secrets_within_texts_are_masked() {
        for (text, wanted) in [
            (r#"{"password": "a b", "x": "y"}"#, r#"{"password": "***", "x": "y"}"#),
            ("{'original_password' : 'aaaaa'}", "{'original_password' : '***'}"),
            ("adminPass = \"aaa\" and more", "adminPass = \"***\" and more"),
            ("run --password d81juxmEW_ --verbose", "run --password *** --verbose"),
            ("url?token=abc&x", "url?token=***"),
            ("<adminPass>abc</adminPass>", "<adminPass>***</adminPass>"),
            ("nothing to hide", "nothing to hide"),
        ] {
            assert_eq!(masked(json!(text)), json!(wanted), "{text}");
        }
    }
}
