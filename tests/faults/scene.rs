//! A stage on `rabbit://`, and its state at the broker.

use oxlo::AckPolicy;
use oxlo_faults_kit::Stage;
use oxlo_test_support::VhostAdmin;

/// A server and a caller on `url`. Leftovers in `vhost` are counted at the end.
pub(crate) async fn stage_on(vhost: &VhostAdmin, url: &str) -> Stage {
    Stage::on(url).await.watching(vhost)
}

/// As [`stage_on`], each on its own URL.
pub(crate) async fn stage_with(vhost: &VhostAdmin, server_url: &str, client_url: &str, policy: AckPolicy) -> Stage {
    Stage::with(server_url, client_url, policy).await.watching(vhost)
}

/// The names of reply queues.
pub(crate) async fn reply_queues(vhost: &VhostAdmin) -> Vec<String> {
    let names = vhost.queues().await.into_iter().map(|queue| queue.name);
    names.filter(|name| name.starts_with("reply_")).collect()
}

/// The name of the only reply queue.
pub(crate) async fn reply_queue(vhost: &VhostAdmin) -> String {
    let names = reply_queues(vhost).await;
    let [name] = names.as_slice() else { panic!("not one reply queue: {names:?}") };
    name.clone()
}

/// The broker's names of the connections, sorted.
pub(crate) async fn connections(vhost: &VhostAdmin) -> Vec<String> {
    let mut names: Vec<String> = vhost.connections().await.into_iter().map(|connection| connection.name).collect();
    names.sort();
    names
}
