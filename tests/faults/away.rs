//! Rows 53 to 56: operations while the broker is unavailable, and objects removed at the broker.

use std::{
    io,
    sync::{Arc, Mutex},
};

use oxlo::{
    Payload, RPCServer, Target, TransportError,
    transport::{CallOptions, Request},
};
use oxlo_faults_kit::{SECOND, SOON, rows::away, service};
use oxlo_test_support::{History, TestVhost, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_53_a_stop_while_disconnected_is_remembered() {
    let vhost = TestVhost::new().await;
    away::a_stop_is_remembered(&vhost.url(), vhost.port()).await;
    // Nor is a fanout queue left that nobody will ever read.
    let left = async || vhost.queues().await.into_iter().filter(|queue| queue.name.contains("_fanout_")).count();
    eventually(SOON, "no queue of a listener alone is left", left, |count| *count == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_55_the_cause_of_no_connection_is_kept() {
    let vhost = TestVhost::new().await;
    away::the_cause_is_kept(&vhost.url(), vhost.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_56_the_state_names_the_connection_that_is_down() {
    let vhost = TestVhost::new().await;
    away::the_state_names_the_connection(&vhost.url(), vhost.port(), async || {
        let consuming = async || vhost.connections().await.into_iter().find(|it| it.client_name.ends_with(":consume"));
        let connection = eventually(SOON, "the broker knows it", consuming, Option::is_some).await.unwrap();
        assert!(vhost.close_connection(&connection.name, "maintenance").await);
    })
    .await;
}

/// Captures the log of this thread while the guard lives.
fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    #[derive(Clone)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let buffer = Buffer(log.clone());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || buffer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// On one thread, the one whose log is captured.
#[tokio::test]
async fn row_54_a_binding_that_was_removed_is_noticed_and_made_again() {
    let vhost = TestVhost::new().await;
    let (log, _guard) = logged();
    let transport = oxlo::connect(format!("{}?self_check_interval=2", vhost.url())).await.unwrap();
    let target = Target::topic("bound").server("one");
    let server = RPCServer::builder(transport.clone(), target).endpoint(service(&History::new()));
    let server = server.start().await.unwrap();
    server.ping(5 * SECOND).await.unwrap();
    for key in ["bound", "bound.one"] {
        let unbind = format!(
            "V = <<\"{}\">>, R = fun(K, N) -> rabbit_misc:r(V, K, N) end,
             _ = rabbit_binding:remove({{binding, R(exchange, <<\"openstack\">>), <<\"{key}\">>, R(queue, <<\"{key}\">>), []}},
                 fun(_, _) -> ok end, <<\"test\">>), ok.",
            vhost.name()
        );
        // The check may run between the two.
        let noticed = async || {
            vhost.control().eval::<String>(&unbind).await;
            matches!(server.ping(5 * SECOND).await, Err(TransportError::Undeliverable { .. }))
        };
        eventually(SOON, "a ping notices", noticed, |noticed| *noticed).await;
        let call = async || {
            let to = if key == "bound" { Target::topic("bound") } else { Target::topic("bound").server("one") };
            let request = Request::new("nothing", Payload::empty_object());
            transport.call(&to, request, &CallOptions::new().with_timeout(5 * SECOND)).await.is_ok()
        };
        eventually(SOON, "calls arrive again", call, |arrived| *arrived).await;
        server.ping(5 * SECOND).await.unwrap();
        let said = || String::from_utf8(log.lock().unwrap().clone()).unwrap();
        let line = format!("queue=\"{key}\" exchange=\"openstack\" routing_key=\"{key}\"");
        let is_said =
            |text: &String| text.lines().any(|it| it.contains("WARN") && it.contains("was gone") && it.contains(&line));
        eventually(SOON, "it is logged", async || said(), is_said).await;
    }
    let left = async || vhost.queue("bound").await.unwrap().messages;
    eventually(SOON, "no message of a check is left", left, |count| *count == 0).await;
    server.stop();
    server.wait().await.unwrap();
    transport.close().await;
}
