//! Version literals, parsed at compile time as `oxlo_transport::Version` is.

use syn::LitStr;

/// A parsed version literal.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) literal: LitStr,
    pub(crate) number: (u64, u64, u64),
}

impl Version {
    pub(crate) fn read(literal: &LitStr) -> syn::Result<Self> {
        match number(&literal.value()) {
            Some(number) => Ok(Self { literal: literal.clone(), number }),
            None => Err(syn::Error::new_spanned(
                literal,
                format!(
                    "{:?} is not a version: write major.minor or major.minor.revision, such as \"1.2\" or \"1.2.3\"",
                    literal.value()
                ),
            )),
        }
    }

    /// `major.0`, the first version of a contract.
    pub(crate) fn first_of_major(&self) -> Self {
        let literal = LitStr::new(&format!("{}.0", self.number.0), self.literal.span());
        Self { literal, number: (self.number.0, 0, 0) }
    }

    /// Returns an error if an item that was added in `self` cannot be part of a contract of version `implemented`.
    pub(crate) fn check_within(&self, implemented: &Self) -> syn::Result<()> {
        let (since, contract) = (self.literal.value(), implemented.literal.value());
        let problem = if self.number.0 != implemented.number.0 {
            format!(
                "since {since} is of another major version than the contract, {contract}; no server of {contract} \
                 serves requests of {since}"
            )
        } else if self.number > implemented.number {
            format!(
                "since {since} is above the contract's version {contract}; raise the contract to version = \"{since}\""
            )
        } else {
            return Ok(());
        };
        Err(syn::Error::new_spanned(&self.literal, problem))
    }
}

fn number(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.split('.').map(part);
    let (major, minor) = (parts.next()??, parts.next()??);
    let revision = match parts.next() {
        Some(revision) => revision?,
        None => 0,
    };
    parts.next().is_none().then_some((major, minor, revision))
}

fn part(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn versions_are_parsed_as_at_run_time() {
        for (text, expected) in [
            ("1.0", Some((1, 0, 0))),
            ("0.3.2", Some((0, 3, 2))),
            ("10.20", Some((10, 20, 0))),
            ("1", None),
            ("", None),
            ("1.", None),
            ("1.0.0.0", None),
            ("1.02", None),
            ("v1.0", None),
            ("1.+2", None),
            ("1.99999999999999999999", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }
}
