//! What drivers do with a notification.

use std::sync::Arc;

use oxlo_notify::{Messaging, Notifier, Recorder, Redaction};
use oxlo_transport::{Context, Priority, message::NotificationFormat};
use serde_json::{Value, json};

use crate::bench::{bus, listen, take};

#[tokio::test]
async fn a_notification_goes_to_every_topic_with_all_its_fields() {
    let (transport, _) = bus().await;
    let mut one = listen(&*transport, "one", Priority::Warn).await;
    let mut two = listen(&*transport, "two", Priority::Warn).await;
    let notifier = Notifier::builder("compute.host-1")
        .driver(Messaging::new(transport.clone()).topics(["one", "two"]).format(NotificationFormat::V1))
        .build()
        .unwrap();
    let ctxt = Context::new().with("auth_token", "secret");
    notifier.warn(&ctxt, "disk.full", json!({"disk": 3})).await.unwrap().confirmed().await.unwrap();
    let (first, second) = (take(&mut one).await, take(&mut two).await);
    assert_eq!(first.message_id, second.message_id);
    assert_eq!((&*first.publisher_id, &*first.event_type), ("compute.host-1", "disk.full"));
    assert_eq!((first.priority, first.format), (Priority::Warn, NotificationFormat::V1));
    assert_eq!(first.payload.decode::<Value>().unwrap(), json!({"disk": 3}));
    assert!(first.context.is_empty(), "nothing of the context leaves by itself");
    assert_eq!(first.message_id.len(), 36);
    assert!(matches!(first.timestamp.len(), 19 | 26), "{}", first.timestamp);
}

#[tokio::test]
async fn every_priority_has_its_method() {
    let recorder = Recorder::new();
    let it = Notifier::builder("p").driver(recorder.clone()).in_flight(1).build().unwrap();
    let ctxt = Context::new();
    it.audit(&ctxt, "e", ()).await.unwrap();
    it.debug(&ctxt, "e", ()).await.unwrap();
    it.info(&ctxt, "e", ()).await.unwrap();
    it.warn(&ctxt, "e", ()).await.unwrap();
    it.error(&ctxt, "e", ()).await.unwrap();
    it.critical(&ctxt, "e", ()).await.unwrap();
    it.sample(&ctxt, "e", ()).await.unwrap();
    it.close().await.unwrap();
    let priorities: Vec<_> = recorder.take().into_iter().map(|notification| notification.priority).collect();
    assert_eq!(priorities, Priority::ALL);
    assert!(recorder.notifications().is_empty());
}

#[tokio::test]
async fn a_prepared_notifier_speaks_in_another_name_over_the_same_queue() {
    let recorder = Recorder::new();
    let notifier = Notifier::builder("a")
        .driver(recorder.clone())
        .redaction(Redaction::keep(["request_id"]))
        .in_flight(1)
        .build()
        .unwrap();
    let other = notifier.prepare().publisher_id("b");
    let ctxt = Context::new().with("request_id", "r").with("token", "t");
    notifier.info(&ctxt, "e", ()).await.unwrap();
    other.info(&ctxt, "e", ()).await.unwrap().confirmed().await.unwrap();
    let publishers: Vec<_> = recorder.notifications().iter().map(|it| it.publisher_id.to_string()).collect();
    assert_eq!(publishers, ["a", "b"]);
    assert_eq!(recorder.notifications()[0].context, Context::new().with("request_id", "r"));
    assert_eq!(notifier.stats(), other.stats());
}

#[cfg(feature = "routing")]
#[tokio::test]
async fn rules_decide_which_driver_gets_it() {
    use oxlo_notify::Routing;

    let (transport, _) = bus().await;
    let mut listener = listen(&*transport, "notifications", Priority::Error).await;
    let recorder = Recorder::new();
    let rules = "billing:\n  test:\n    accepted_events: ['compute.*']\nalarm:\n  messagingv2:\n    accepted_priorities: [error]\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let drivers: Vec<Arc<dyn oxlo_notify::NotificationDriver>> =
        vec![Arc::new(recorder.clone()), Arc::new(Messaging::new(transport.clone()))];
    let routing = Routing::from_file(file.path(), drivers).unwrap();
    let notifier = Notifier::builder("p").driver(routing).in_flight(1).build().unwrap();
    let ctxt = Context::new();
    notifier.error(&ctxt, "network.down", 1).await.unwrap();
    notifier.info(&ctxt, "compute.end", 2).await.unwrap();
    notifier.info(&ctxt, "network.up", 3).await.unwrap();
    notifier.close().await.unwrap();
    assert_eq!(&*take(&mut listener).await.event_type, "network.down");
    let recorded: Vec<_> = recorder.notifications().iter().map(|it| it.event_type.to_string()).collect();
    assert_eq!(recorded, ["compute.end"]);
}

#[cfg(feature = "routing")]
#[test]
fn a_file_with_errors_names_itself_and_their_places() {
    use oxlo_notify::Routing;

    let wrong = Routing::from_yaml("rules.yaml", "g:\n  nosuch:\n", vec![Arc::new(Recorder::new())]).unwrap_err();
    assert_eq!(wrong.to_string(), "rules.yaml:2:3: the notifier has no driver `nosuch`; known are test");
    let absent = Routing::from_file("/nonexistent/rules.yaml", vec![]).unwrap_err();
    assert!(absent.to_string().starts_with("/nonexistent/rules.yaml: cannot read the file: "), "{absent}");
}

#[tokio::test]
async fn the_log_shows_everything_but_the_secrets() {
    use std::{io, sync::Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let written = Written::default();
    let sink = written.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || sink.clone()).with_ansi(false).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let notifier = Notifier::builder("p").driver(oxlo_notify::Log).build().unwrap();
    let payload = json!({"adminPass": "hunter2", "command": "login --password hunter2 now", "disk": 7});
    notifier.error(&Context::new(), "vm.boot", payload).await.unwrap().confirmed().await.unwrap();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("ERROR") && text.contains("oslo.messaging.notification"), "{text}");
    assert!(
        text.contains("vm.boot") && text.contains("\"disk\":7") && text.contains("\"priority\":\"ERROR\""),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}
