//! The service of both suites.

use std::{sync::Arc, time::Duration};

use oxlo::{Args, Context, Endpoint, Failure, RPCServer, Target, Transport};
use oxlo_test_support::History;
use tokio::{sync::Semaphore, time::timeout};

/// The arguments of the service's methods.
#[derive(serde::Deserialize)]
struct Work {
    /// The id of the call or cast.
    id: String,
    /// How long the method takes, in milliseconds.
    #[serde(default)]
    ms: u64,
}

/// The service: `echo` records its run, sleeps, and answers with the call's id; `panic` panics unless it has
/// time to take.
pub fn service(history: &History) -> Endpoint {
    service_until(history, &Arc::new(Semaphore::new(0)))
}

/// The [`service`] whose `echo` returns at once when `released` is closed.
pub(crate) fn service_until(history: &History, released: &Arc<Semaphore>) -> Endpoint {
    let history = history.clone();
    service_that(move |id| history.executed(id), released.clone())
}

/// The [`service`] that reports each id it runs to `runs`.
pub(crate) fn service_that(runs: impl Fn(&str) + Send + Sync + 'static, released: Arc<Semaphore>) -> Endpoint {
    let runs = Arc::new(runs);
    let panics = runs.clone();
    Endpoint::new("1.0")
        .method("echo", move |_: Context, Args(work): Args<Work>| {
            let (runs, released) = (runs.clone(), released.clone());
            async move {
                runs(&work.id);
                if work.ms > 0 {
                    let _ = timeout(Duration::from_millis(work.ms), released.acquire()).await;
                }
                Ok::<_, Failure>(work.id)
            }
        })
        .method("panic", move |_: Context, Args(work): Args<Work>| {
            let panics = panics.clone();
            async move {
                panics(&work.id);
                if work.ms == 0 {
                    panic!("as asked");
                }
                Ok::<_, Failure>(work.id)
            }
        })
}

/// Serves `target` for a moment so that its queue exists.
pub async fn leave_queue(transport: &Arc<dyn Transport>, target: Target) {
    let server = RPCServer::builder(transport.clone(), target).endpoint(service(&History::new()));
    let server = server.start().await.unwrap();
    server.stop();
    server.wait().await.unwrap();
}
