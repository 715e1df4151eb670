//! What the servers serve.

use std::sync::Arc;
use std::time::Duration;

use oxlo::{Args, Context, Endpoint, Failure, RPCServer, Target, Transport};
use oxlo_test_support::History;
use tokio::time::sleep;

/// What a method of the service is asked to do.
#[derive(serde::Deserialize)]
struct Work {
    /// Of the call or cast.
    id: String,
    /// How long it takes.
    #[serde(default)]
    ms: u64,
}

/// The service: `echo` records that it runs, takes its time, and answers with its call's id; `panic` does not live so long.
pub fn service(history: &History) -> Endpoint {
    let history = history.clone();
    service_that(move |id| history.executed(id))
}

/// The [`service`] that says otherwise which id it runs.
pub(crate) fn service_that(runs: impl Fn(&str) + Send + Sync + 'static) -> Endpoint {
    let runs = Arc::new(runs);
    let panics = runs.clone();
    Endpoint::new("1.0")
        .method("echo", move |_: Context, Args(work): Args<Work>| {
            let runs = runs.clone();
            async move {
                runs(&work.id);
                if work.ms > 0 {
                    sleep(Duration::from_millis(work.ms)).await;
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

/// Serves `target` for a moment, which leaves its queue behind.
pub async fn leave_queue(transport: &Arc<dyn Transport>, target: Target) {
    let server = RPCServer::builder(transport.clone(), target).endpoint(service(&History::new()));
    let server = server.start().await.unwrap();
    server.stop();
    server.wait().await.unwrap();
}
