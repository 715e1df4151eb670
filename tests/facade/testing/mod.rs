//! `oxlo::testing`, used as in the tests of a service.

mod serializer;

use std::time::Duration;

use oxlo::{
    AckPolicy, CallError, Context, Ctxt, Endpoint, Failure, HandlerError, Outcome, RPCClient, Redelivered,
    RequestContext, Target, TransportError,
    memory::{Fault, Traffic},
    testing::{SERVER, TestService, advance_time, freeze_time},
};
use serde_json::{Value, json};

#[tokio::test]
async fn contexts_travel_and_what_ran_is_known() {
    let endpoint = Endpoint::new("1.0").method("who", async |Ctxt(ctxt): Ctxt<RequestContext>| {
        Ok::<_, Failure>(json!([ctxt.user(), ctxt.project(), ctxt.get_str("quota_class")]))
    });
    let service = TestService::start(endpoint).await.unwrap();
    let mut ctxt = RequestContext::from(Context::new().with("quota_class", "gold").with("tenant", "p0"));
    ctxt.set_user("alice");
    ctxt.set_project("p1");
    let who: Value = service.fire(&ctxt, "who", ()).await.unwrap();
    assert_eq!(who, json!(["alice", "p1", "gold"]));
    let first = service.wait_for("who").await;
    assert_eq!((first.outcome, first.context.get_str("tenant")), (Outcome::Result, Some("p1")));
    service.cast(&Context::new(), "who", ()).await.unwrap();
    assert_eq!(service.wait_for("who").await.context.len(), 0);
    assert_eq!(service.finished().len(), 2);
    assert_eq!(service.stop().await.unwrap().handled, 2);
}

#[tokio::test]
#[should_panic(expected = "never did not run 1 times")]
async fn what_does_not_run_is_named() {
    let service = TestService::start(Endpoint::new("1.0")).await.unwrap();
    freeze_time();
    service.wait_for("never").await;
}

#[tokio::test]
async fn a_service_that_calls_others_is_given_its_transport() {
    let service = TestService::with(|transport, builder| {
        let itself = RPCClient::new(transport, Target::topic(oxlo::testing::TOPIC).server(SERVER));
        let endpoint = Endpoint::new("1.0").method("inner", async || Ok::<_, Failure>(1)).method("outer", move || {
            let itself = itself.clone();
            async move {
                let one: i64 = itself.call(&Context::new(), "inner", ()).await?;
                Ok::<_, HandlerError>(one + 1)
            }
        });
        builder.endpoint(endpoint)
    })
    .await
    .unwrap();
    assert_eq!(service.fire::<i64>(&Context::new(), "outer", ()).await.unwrap(), 2);
    assert_eq!(service.wait_for("inner").await.outcome, Outcome::Result);
}

#[tokio::test]
async fn a_redelivery_can_be_scripted() {
    freeze_time();
    let endpoint = Endpoint::new("1.0").method("work", async |Redelivered(again): Redelivered| {
        if !again {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        Ok::<_, Failure>(again)
    });
    let service =
        TestService::with(|_, builder| builder.endpoint(endpoint).ack_policy(AckPolicy::AfterReply)).await.unwrap();
    let calling = tokio::spawn({
        let client = service.client().clone();
        async move { client.call::<bool>(&Context::new(), "work", ()).await }
    });
    advance_time(Duration::from_secs(1)).await;
    service.faults().disconnect("service", "a test");
    service.faults().reconnect("service");
    assert!(calling.await.unwrap().unwrap(), "the second run answers");
    service.faults().inject(Traffic::Requests, 1, Fault::Reject);
    let refused = service.fire::<bool>(&Context::new(), "work", ()).await.unwrap_err();
    assert!(matches!(refused, CallError::Transport { error: TransportError::Rejected { .. }, .. }), "{refused}");
}
