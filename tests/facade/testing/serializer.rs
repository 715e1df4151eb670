//! A serializer in both directions: entities as MessagePack, and a signed context.

use base64::{Engine, engine::general_purpose::STANDARD};
use oxlo::{
    Args, CallError, Context, Endpoint, Failure, Payload, RPCClient, RPCServer, Target, TransportError,
    transport::{ListenOptions, Reply, Serializer, SerializerError, serialized},
};
use serde_json::{Value, json};

/// Entities travel as MessagePack in base64.
#[derive(Debug)]
struct MessagePack;

impl Serializer for MessagePack {
    fn serialize_entity(&self, _ctxt: &Context, entity: Value) -> Result<Value, SerializerError> {
        if entity == json!("unwritable") {
            return Err("it shall not travel".into());
        }
        Ok(STANDARD.encode(rmp_serde::to_vec(&entity)?).into())
    }

    fn deserialize_entity(&self, _ctxt: &Context, entity: Value) -> Result<Value, SerializerError> {
        let text = entity.as_str().ok_or("an entity is a text of base64")?;
        Ok(rmp_serde::from_slice(&STANDARD.decode(text)?)?)
    }

    fn serialize_context(&self, ctxt: Context) -> Result<Context, SerializerError> {
        Ok(ctxt.with("signed", true))
    }

    fn deserialize_context(&self, mut ctxt: Context) -> Result<Context, SerializerError> {
        ctxt.remove("signed").map(|_| ctxt).ok_or_else(|| "the context is not signed".into())
    }
}

#[derive(serde::Deserialize)]
struct Echo {
    value: Value,
}

#[tokio::test]
async fn entities_and_contexts_go_through_it_both_ways() {
    let plain = oxlo::connect("memory://serializer").await.unwrap();
    let transport = serialized(plain.clone(), MessagePack);
    let endpoint = Endpoint::new("1.0")
        .method("echo", async |Args(it): Args<Echo>| Ok::<_, Failure>(it.value))
        .method("ctxt", async |ctxt: Context| Ok::<_, Failure>(ctxt));
    let on = Target::topic("t").server("s");
    let running = RPCServer::builder(transport.clone(), on.clone()).endpoint(endpoint).start().await.unwrap();
    let client = RPCClient::new(transport.clone(), Target::topic("t"));
    let ctxt = Context::new().with("user", "alice");

    let value = json!({"a": [1, 2.5, null, "é"], "b": {}});
    assert_eq!(client.call::<Value>(&ctxt, "echo", json!({ "value": value })).await.unwrap(), value);
    assert_eq!(client.start::<Value>(&ctxt, "echo", json!({"value": 1})).await.unwrap().await.unwrap(), 1);
    assert_eq!(client.call::<Value>(&ctxt, "ctxt", ()).await.unwrap(), json!({"user": "alice"}));

    let refused = client.call::<Value>(&ctxt, "echo", json!({"value": "unwritable"})).await.unwrap_err();
    assert!(!refused.may_have_run() && refused.to_string().contains("it shall not travel"), "{refused}");

    // A request without it fails and does not run.
    let stranger = RPCClient::new(plain.clone(), Target::topic("t"));
    let refused = stranger.call::<Value>(&ctxt, "echo", json!({"value": 1})).await.unwrap_err();
    let CallError::Remote { failure, .. } = &refused else { panic!("{refused:?}") };
    assert!(failure.to_string().contains("the context is not signed"), "{failure}");
    let report = {
        running.stop();
        running.wait().await.unwrap()
    };
    assert_eq!(report.taken, 3);

    // The wire has the serializer's output, and a result that it cannot read is reported as such.
    let mut listener = plain.listen(&on, &ListenOptions::new()).await.unwrap();
    let pending = client.start::<Value>(&ctxt, "echo", json!({"value": 7})).await.unwrap();
    let delivery = listener.recv().await.unwrap();
    let args: Value = delivery.message.args.decode().unwrap();
    assert_eq!((args, delivery.message.context.get("signed")), (json!({"value": "Bw=="}), Some(&json!(true))));
    delivery.settle.ack();
    delivery.replier.unwrap().reply(Reply::Result(Payload::encode(&7).unwrap())).await.unwrap();
    let unread = pending.await.unwrap_err();
    assert!(
        matches!(unread, CallError::Transport { error: TransportError::MalformedReply { .. }, .. })
            && unread.may_have_run(),
        "{unread:?}"
    );
}
