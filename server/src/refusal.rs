//! The failure of a request that no endpoint serves: oslo's text, then the methods and versions that are offered.

use std::collections::BTreeSet;

use oxlo_transport::{
    Failure,
    text::{FOREIGN_NAME, folded, nearest},
};

use crate::routes::{Refusal, RouteTable, Scope};

/// The most methods or endpoints that are listed.
const LISTED: usize = 8;

impl RouteTable {
    /// The failure of a request that no endpoint serves. Its class, its arguments and the start of its message are those of
    /// oslo's dispatcher, for which callers check.
    pub(crate) fn explain(&self, refusal: Refusal<'_>, namespace: Option<&str>, version: Option<&str>) -> Failure {
        let mut failure = refusal.to_failure();
        let offered = match refusal {
            Refusal::Unnamed => return failure,
            Refusal::NoSuchMethod { method } => self.other_methods(method, namespace, version),
            Refusal::UnsupportedVersion { .. } => self.other_versions(namespace),
        };
        failure.message = format!("{}; {offered}", failure.message);
        failure
    }

    fn other_methods(&self, method: &str, namespace: Option<&str>, version: Option<&str>) -> String {
        let elsewhere: Vec<_> = self.named(method).map(Scope::shown).collect();
        if !elsewhere.is_empty() {
            return format!("it is a method of {}", listed(elsewhere));
        }
        let offered: BTreeSet<&str> = self.names(namespace, version).collect();
        if offered.is_empty() {
            return "no method is registered by name".to_owned();
        }
        match nearest(method, offered.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("methods: {}", listed(offered.into_iter().map(str::to_owned))),
        }
    }

    fn other_versions(&self, namespace: Option<&str>) -> String {
        let offered: Vec<_> = self.own_scopes().filter(|scope| scope.accepts(namespace)).map(Scope::shown).collect();
        if !offered.is_empty() {
            return format!("offered: {}", listed(offered));
        }
        let all = listed(self.own_scopes().map(Scope::shown));
        let Some(namespace) = namespace else {
            return format!("the request has no namespace, and every endpoint has one; offered: {all}");
        };
        let known = self.own_scopes().flat_map(|scope| scope.namespaces.iter().flatten().map(|it| &**it));
        let near = nearest(namespace, known).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
        format!("no endpoint has the namespace {}{near}; offered: {all}", folded(namespace, FOREIGN_NAME))
    }
}

fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.len().checked_sub(LISTED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..LISTED].join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    fn endpoint(version: &str, methods: &[&str]) -> Endpoint {
        methods.iter().fold(Endpoint::new(version), |it, name| it.method(*name, async || Ok::<_, Failure>(())))
    }

    fn refused(endpoints: Vec<Endpoint>, namespace: Option<&str>, version: &str, method: &str) -> Failure {
        let routes = RouteTable::new(endpoints, true).unwrap();
        let refusal = routes.find(namespace, Some(version), method).err().unwrap();
        routes.explain(refusal, namespace, Some(version))
    }

    #[test]
    fn a_refusal_says_what_is_offered() {
        let endpoints = || {
            vec![
                endpoint("1.2", &["add", "divide"]).namespace("math"),
                endpoint("2.0", &["add", "power"]).namespace("math"),
                endpoint("1.0", &["reload"]),
            ]
        };
        let cases = [
            (Some("math"), "1.0", "ad", "RPC method ad; did you mean add?"),
            (Some("math"), "1.0", "power", "RPC method power; it is a method of endpoint math 2.0"),
            (Some("math"), "1.0", "zzz", "RPC method zzz; methods: add, divide"),
            (
                Some("math"),
                "3.0",
                "add",
                "RPC version 3.0. Attempted method: add; offered: endpoint math 1.2, endpoint math 2.0",
            ),
            (
                Some("mth"),
                "1.0",
                "add",
                "RPC version 1.0. Attempted method: add; no endpoint has the namespace mth, did you mean math?; \
                 offered: endpoint math 1.2, endpoint math 2.0, endpoint 1.0",
            ),
            (None, "1.1", "reload", "RPC version 1.1. Attempted method: reload; offered: endpoint 1.0"),
        ];
        for (namespace, version, method, text) in cases {
            let failure = refused(endpoints(), namespace, version, method);
            let message = failure.message.strip_prefix("Endpoint does not support ").unwrap();
            assert_eq!(message, text);
            let words = failure.message.split(';').next().unwrap();
            assert_eq!(failure.args, [words], "the arguments are oslo's");
        }
        let failure = refused(vec![endpoint("1.0", &["add"]).namespace("math")], None, "1.7", "add");
        assert!(
            failure
                .message
                .ends_with("; the request has no namespace, and every endpoint has one; offered: endpoint math 1.0"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn long_lists_are_cut_and_foreign_text_is_folded() {
        let names: Vec<_> = ('a'..='z').map(|letter| format!("method_{letter}_of_many")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let failure = refused(vec![endpoint("1.0", &names)], None, "1.0", "x");
        assert!(failure.message.ends_with("method_h_of_many and 18 more"), "{}", failure.message);
        let long = "n\n".repeat(1000);
        let failure = refused(vec![endpoint("1.0", &["add"])], Some(&long), "1.0", "add");
        assert!(failure.message.len() < 300 && !failure.message.contains('\n'), "{}", failure.message);
    }
}
