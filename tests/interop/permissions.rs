//! The permissions in the guide are sufficient and necessary: read from the guide, tested on a broker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use oxlo::{Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, ServeError, Target, Transport};
use oxlo_test_support::TestVhost;
use tokio::sync::mpsc;

const GUIDE: &str = include_str!("../../src/guide/deployment.md");

/// The regular expressions of the guide's table, by permission.
fn permissions() -> BTreeMap<&'static str, String> {
    let row = |permission: &'static str| {
        let begin = format!("| {permission} | `");
        let line = GUIDE.lines().find_map(|line| line.strip_prefix(&begin)).expect("the guide has a row of it");
        // In a table a bar is written with a backslash.
        (permission, line.trim_end_matches("` |").replace("\\|", "|"))
    };
    ["configure", "write", "read"].into_iter().map(row).collect()
}

/// Creates a user of the vhost with these permissions, and returns the URL to connect as this user.
async fn user(vhost: &TestVhost, permissions: &BTreeMap<&str, String>) -> String {
    let name = vhost.name().to_owned() + "-limited";
    let binary = |text: &str| format!("<<{}>>", text.bytes().map(|it| it.to_string()).collect::<Vec<_>>().join(","));
    let expressions = format!(
        "rabbit_auth_backend_internal:add_user({0}, {0}, <<\"oxlo\">>), \
         rabbit_auth_backend_internal:set_permissions({0}, {1}, {2}, {3}, {4}, <<\"oxlo\">>), <<\"ok\">>.",
        binary(&name),
        binary(vhost.name()),
        binary(&permissions["configure"]),
        binary(&permissions["write"]),
        binary(&permissions["read"]),
    );
    vhost.control().eval::<String>(&expressions).await;
    vhost.url().replace("guest:guest", &format!("{name}:{name}"))
}

async fn forget_user(vhost: &TestVhost) {
    let expressions = format!(
        "rabbit_auth_backend_internal:delete_user(<<\"{}-limited\">>, <<\"oxlo\">>), <<\"ok\">>.",
        vhost.name()
    );
    vhost.control().eval::<String>(&expressions).await;
}

/// A server whose methods report their calls.
async fn serve(
    transport: &Arc<dyn Transport>,
    topic: &str,
) -> Result<(RunningServer, mpsc::UnboundedReceiver<&'static str>), ServeError> {
    let (note, notes) = mpsc::unbounded_channel();
    let told = note.clone();
    let endpoint = Endpoint::new("1.0").method("whoami", async || Ok::<_, Failure>("me")).method("noted", move || {
        let _ = told.send("noted");
        async { Ok::<_, Failure>(()) }
    });
    let target = Target::topic(topic).server("node-7");
    Ok((RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await?, notes))
}

/// Reaches a service in all ways: any server, one by name, all of them.
async fn ask(transport: &Arc<dyn Transport>, topic: &str, notes: &mut mpsc::UnboundedReceiver<&'static str>) {
    let client = RPCClient::new(transport.clone(), Target::topic(topic)).timeout(Duration::from_secs(30));
    let ctxt = Context::new();
    assert_eq!(client.call::<String>(&ctxt, "whoami", ()).await.unwrap(), "me");
    assert_eq!(client.prepare().server("node-7").call::<String>(&ctxt, "whoami", ()).await.unwrap(), "me");
    client.cast(&ctxt, "noted", ()).await.unwrap();
    client.prepare().fanout(true).cast(&ctxt, "noted", ()).await.unwrap();
    for _ in 0..2 {
        let noted = tokio::time::timeout(Duration::from_secs(30), notes.recv()).await;
        assert_eq!(noted.expect("it arrives"), Some("noted"));
    }
}

#[tokio::test]
async fn what_the_guide_permits_is_enough() {
    let vhost = TestVhost::new().await;
    let limited = oxlo::connect(user(&vhost, &permissions()).await).await.unwrap();
    let (scheduler, mut noted) = serve(&limited, "scheduler").await.unwrap();

    // Another user's service, called by the limited user, and the limited user's service, called by another user.
    let others = oxlo::connect(vhost.url()).await.unwrap();
    let (compute, mut others_noted) = serve(&others, "compute").await.unwrap();
    ask(&limited, "compute", &mut others_noted).await;
    ask(&others, "scheduler", &mut noted).await;

    for server in [scheduler, compute] {
        server.stop();
        server.wait().await.unwrap();
    }
    limited.close().await;
    others.close().await;
    let left: Vec<String> = vhost.queues().await.into_iter().map(|queue| queue.name).collect();
    assert!(!left.iter().any(|name| name.contains("fanout") || name.starts_with("reply_")), "{left:?}");
    forget_user(&vhost).await;
}

#[tokio::test]
async fn another_service_is_not_permitted_and_the_error_says_what_is_missing() {
    let vhost = TestVhost::new().await;
    let limited = oxlo::connect(user(&vhost, &permissions()).await).await.unwrap();
    let refused = serve(&limited, "compute").await.map(|_| ()).unwrap_err();
    let ServeError::Listen { source, .. } = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("permission"), "{source}");
    limited.close().await;
    forget_user(&vhost).await;
}
