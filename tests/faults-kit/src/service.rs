//! What the servers serve.

use std::sync::Arc;
use std::time::Duration;

use oxlo::{Args, Context, Endpoint, Failure, RPCServer, Target, Transport};
use oxlo_test_support::History;
use tokio::time::sleep;

/// What a method of the service is asked to do.
#[derive(Debug, serde::Deserialize)]
pub struct Work {
    /// Of the call or cast.
    pub id: String,
    /// How long it takes.
    #[serde(default)]
    pub ms: u64,
}

/// The service: `echo` records that it runs, takes its time, and answers with its call's id; `panic` does not live so long.
pub fn service(history: &History) -> Endpoint {
    let (runs, panics) = (history.clone(), history.clone());
    Endpoint::new("1.0")
        .method("echo", move |_: Context, Args(work): Args<Work>| {
            let history = runs.clone();
            async move {
                history.executed(&work.id);
                if work.ms > 0 {
                    sleep(Duration::from_millis(work.ms)).await;
                }
                Ok::<_, Failure>(work.id)
            }
        })
        .method("panic", move |_: Context, Args(work): Args<Work>| {
            let history = panics.clone();
            async move {
                history.executed(&work.id);
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
