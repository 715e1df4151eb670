//! Routing by argument, over `memory://`.

use std::time::Duration;

use oxlo_client::{CallError, RPCClient};
use oxlo_driver_memory::MemoryDriver;
use oxlo_transport::{Context, ListenOptions, ListenScope, Registry, RequestQueue, Target, TransportError};
use serde_json::json;

#[derive(serde::Deserialize)]
struct Render {
    frame: u64,
}

#[tokio::test(start_paused = true)]
async fn the_arguments_select_the_queue() {
    let transport = Registry::new().with(MemoryDriver).transport("memory://routing").connect().await.unwrap();
    let client = RPCClient::new(transport.clone(), Target::topic("render"))
        .timeout(Duration::from_secs(5))
        .route_by("render", |it: Render| (it.frame < 100).then(|| format!("shard-{}", it.frame % 2)));
    let ctxt = Context::new();
    let mut listeners = Vec::new();
    for shard in ["shard-0", "shard-1"] {
        let scope = ListenScope::Queue(RequestQueue::new("render", shard));
        let options = ListenOptions::new().with_scope(scope);
        listeners.push(transport.listen(&Target::topic("render"), &options).await.unwrap());
    }
    let prepared = client.prepare().version("1.0");
    for frame in 0..4_u64 {
        prepared.cast(&ctxt, "render", json!({ "frame": frame })).await.unwrap();
    }
    for (shard, listener) in listeners.iter_mut().enumerate() {
        for turn in 0..2 {
            let delivery = listener.recv().await.unwrap();
            let it: Render = delivery.message.args.decode().unwrap();
            assert_eq!(it.frame as usize, shard + 2 * turn);
            delivery.settle.ack();
        }
    }

    transport.remove_queue(&RequestQueue::new("render", "shard-9"), oxlo_transport::Removal::IfEmpty).await.unwrap();
    let nine = client.clone().route_by("render", |_: Render| Some("shard-9".to_owned()));
    let nowhere = nine.cast(&ctxt, "render", json!({"frame": 1})).await.unwrap_err();
    assert!(
        matches!(nowhere, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }),
        "a later route wins, and a cast says so: {nowhere}"
    );
    let nowhere = nine.call::<()>(&ctxt, "render", json!({"frame": 1})).await.unwrap_err();
    assert!(nowhere.to_string().contains("shard-9"), "{nowhere}");
    let unfit = client.cast(&ctxt, "render", json!({"frame": "one"})).await.unwrap_err();
    assert!(unfit.to_string().contains("cannot route `render`"), "{unfit}");
    client.cast(&ctxt, "other", json!({"frame": "one"})).await.expect("another method is none of its business");
    client.prepare().server("shard-1").cast(&ctxt, "render", json!({"frame": 0})).await.unwrap();
    let delivery = listeners[1].recv().await.unwrap();
    assert_eq!(delivery.message.args.decode::<Render>().unwrap().frame, 0, "a server that is named wins");
}
