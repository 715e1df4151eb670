//! The notifier as an operator configures it.

use oxlo_config::ProcessConfig;
use oxlo_notify::Notifier;
use oxlo_transport::{Context, Priority, message::NotificationFormat};

use crate::bench::{bus, listen, take};

fn config(options: &str) -> ProcessConfig {
    ProcessConfig::new().text(&format!("[oslo_messaging_notifications]\n{options}"), "nova.conf").unwrap()
}

#[tokio::test]
async fn drivers_and_topics_are_the_operators() {
    let (transport, _) = bus().await;
    let mut one = listen(&*transport, "one", Priority::Info).await;
    let mut two = listen(&*transport, "two", Priority::Info).await;
    let config = config("driver = messaging\ndriver = log\ndriver = noop\ntopics = one, two\nretry = 0\n");
    let notifier = Notifier::configured("compute.host-1", &transport, &config).unwrap().build().unwrap();
    notifier.info(&Context::new(), "e", ()).await.unwrap().confirmed().await.unwrap();
    for listener in [&mut one, &mut two] {
        let taken = take(listener).await;
        assert_eq!((taken.format, &*taken.publisher_id), (NotificationFormat::V1, "compute.host-1"));
    }
}

#[tokio::test]
async fn without_a_driver_nothing_is_sent() {
    let (transport, _) = bus().await;
    let notifier = Notifier::configured("p", &transport, &ProcessConfig::new()).unwrap().build().unwrap();
    assert!(!notifier.is_enabled());
}

#[tokio::test]
async fn a_driver_that_is_not_there_is_named_with_its_line() {
    let (transport, _) = bus().await;
    for (options, wanted) in [
        ("topics = a\ndriver = messagingv3\n", "nova.conf:3: option `driver`: unknown driver; known are messaging,"),
        ("retry = often\n", "nova.conf:2: option `retry`: cannot parse the value as i64"),
        #[cfg(feature = "routing")]
        ("driver = routing\n", "nova.conf:2: option `driver`: the driver routing needs routing_config"),
    ] {
        let refused = Notifier::configured("p", &transport, &config(options)).unwrap_err().to_string();
        assert!(refused.starts_with(wanted), "{refused}");
    }
}

#[cfg(feature = "routing")]
#[tokio::test]
async fn the_driver_routing_takes_its_rules_from_routing_config() {
    let (transport, _) = bus().await;
    let mut listener = listen(&*transport, "notifications", Priority::Info).await;
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), "group_1:\n  messagingv2:\n    accepted_events:\n      - a.*\n").unwrap();
    let config = config(&format!("driver = routing\nrouting_config = {}\n", rules.path().display()));
    let notifier = Notifier::configured("p", &transport, &config).unwrap().build().unwrap();
    for event in ["b.1", "a.1"] {
        notifier.info(&Context::new(), event, ()).await.unwrap().confirmed().await.unwrap();
    }
    assert_eq!(&*take(&mut listener).await.event_type, "a.1");
}
