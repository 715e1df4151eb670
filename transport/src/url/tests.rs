//! Formatting of arbitrary URLs, beyond those in the test table.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("::1"), Just("2001:db8::1"), Just("fe80::1%eth0"), Just("10.0.0.1"), Just("mq-1.example")]
        .prop_map(str::to_owned)
        .boxed()
        .prop_union("[a-z0-9._%-]{1,12}".boxed())
}

fn host() -> impl Strategy<Value = Host> {
    let credentials = (any::<String>(), prop::option::of(any::<String>()))
        .prop_map(|(user, password)| Credentials { user, password: password.map(Secret) });
    (name(), prop::option::of(1_u16..), prop::option::of(credentials)).prop_map(|(name, port, credentials)| Host {
        name,
        port,
        credentials,
    })
}

fn url() -> impl Strategy<Value = TransportUrl> {
    (
        "[a-z][a-z0-9.+-]{0,8}",
        prop::collection::vec(host(), 0..4),
        prop::option::of(".{1,20}"),
        prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
    )
        .prop_map(|(scheme, hosts, virtual_host, query)| TransportUrl {
            scheme,
            hosts,
            virtual_host,
            query: query.into_iter().collect(),
        })
}

proptest! {
    #[test]
    fn a_rendered_url_parses_to_the_same(url in url()) {
        let text = url.to_string_with_secrets();
        let again = TransportUrl::parse(&text).unwrap();
        prop_assert_eq!(&again.query, &url.query);
        prop_assert_eq!(again, url);
    }
}
