//! Extractors, in closures and in a contract's methods.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use oxlo::{
    Call, Context, Ctxt, Deadline, Endpoint, Extension, Failure, State, Target,
    server::{Cancellation, Method, Redelivered},
};
use serde::{Deserialize, Serialize};
use tower::util::MapRequestLayer;

use super::{builder, bus, client};

#[derive(Clone, Serialize, Deserialize)]
struct Tenant {
    project_id: String,
}

#[derive(Clone)]
struct Serial(u32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    project: String,
    method: String,
    again: bool,
    bounded: bool,
    serial: u32,
    state: String,
    cancelled: bool,
}

#[oxlo::contract(version = "1.0")]
trait Everything {
    #[allow(clippy::too_many_arguments)]
    async fn everything(
        &self,
        ctxt: &Tenant,
        #[extract] method: Method,
        #[extract] again: Redelivered,
        #[extract] deadline: Deadline,
        #[extract] serial: Extension<Serial>,
        #[extract] state: State<&'static str>,
        #[extract] cancellation: Cancellation,
        #[extract] raw: Context,
    ) -> Seen;
}

struct Service;

impl Everything for Service {
    async fn everything(
        &self,
        ctxt: &Tenant,
        Method(method): Method,
        Redelivered(again): Redelivered,
        Deadline(deadline): Deadline,
        Extension(Serial(serial)): Extension<Serial>,
        State(state): State<&'static str>,
        cancellation: Cancellation,
        raw: Context,
    ) -> Seen {
        assert_eq!(raw.get_str("project_id"), Some(ctxt.project_id.as_str()));
        Seen {
            project: ctxt.project_id.clone(),
            method: method.to_string(),
            again,
            bounded: deadline.is_some(),
            serial,
            state: state.into(),
            cancelled: cancellation.is_cancelled(),
        }
    }
}

fn closures() -> Endpoint {
    Endpoint::new("2.0").with_state("closure").method(
        "everything",
        async |Ctxt(tenant): Ctxt<Tenant>,
               Method(method): Method,
               Redelivered(again): Redelivered,
               Extension(Serial(serial)): Extension<Serial>,
               State(state): State<&'static str>,
               (deadline, cancellation): (Deadline, Cancellation)| {
            Ok::<_, Failure>(Seen {
                project: tenant.project_id,
                method: method.to_string(),
                again,
                bounded: deadline.0.is_some(),
                serial,
                state: state.into(),
                cancelled: cancellation.is_cancelled(),
            })
        },
    )
}

#[tokio::test]
async fn closures_and_contracts_can_take_the_same() {
    let transport = bus("extractors").await;
    let _server = builder(&transport)
        .endpoint(Endpoint::from(EverythingEndpoint::new(Service)).with_state("contract"))
        .endpoint(closures())
        .layer(MapRequestLayer::new(|mut call: Call| {
            call.extensions.insert(Serial(7));
            call
        }))
        .start()
        .await
        .unwrap();
    let tenant = Tenant { project_id: "p-1".into() };
    let typed = EverythingClient::new(transport.clone(), Target::topic("work"));
    let mut seen = typed.everything(&tenant).await.unwrap();
    assert_eq!(
        seen,
        Seen {
            project: "p-1".into(),
            method: "everything".into(),
            again: false,
            bounded: true,
            serial: 7,
            state: "contract".into(),
            cancelled: false,
        }
    );
    let ctxt = Context::from_serialize(&tenant).unwrap();
    seen.state = "closure".into();
    assert_eq!(client(&transport).version("2.0").call::<Seen>(&ctxt, "everything", ()).await.unwrap(), seen);
}

#[tokio::test(start_paused = true)]
async fn cancellation_says_when_nobody_wants_the_answer() {
    let transport = bus("cancellation").await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let entered = Arc::new(AtomicU32::new(0));
    let count = entered.clone();
    let endpoint = Endpoint::new("1.0").method("work", move |cancellation: Cancellation| {
        let tell = tell.clone();
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let before = cancellation.is_cancelled();
            tokio::select! {
                () = cancellation.cancelled() => {}
                () = cancellation.stopping() => {}
            }
            let _ = tell.send((before, cancellation.is_cancelled(), cancellation.is_stopping()));
            Ok::<_, Failure>(())
        }
    });
    let server = builder(&transport).endpoint(endpoint).start().await.unwrap();
    let client = client(&transport);
    let error = client.prepare().timeout(Duration::from_secs(3)).call::<()>(&Context::new(), "work", ()).await;
    assert!(error.is_err());
    assert_eq!(told.recv().await, Some((false, true, false)), "the caller's time is over");
    client.cast(&Context::new(), "work", ()).await.unwrap();
    // The server is stopped while it runs.
    while entered.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.stop();
    assert_eq!(told.recv().await, Some((false, false, true)), "the server stops, nobody gave up yet");
    server.wait().await.unwrap();
}

#[tokio::test]
async fn an_extension_that_no_layer_put_in_is_the_servers_mistake() {
    let transport = bus("no-extension").await;
    let endpoint = Endpoint::new("1.0")
        .method("needs", async |Extension(Serial(it)): Extension<Serial>| Ok::<_, Failure>(it))
        .method("asks", async |it: Option<Extension<Serial>>| Ok::<_, Failure>(it.is_some()));
    let _server = builder(&transport).endpoint(endpoint).start().await.unwrap();
    let error = client(&transport).call::<u32>(&Context::new(), "needs", ()).await.unwrap_err();
    assert_eq!(error.remote_failure().map(|it| it.message()), Some("needs() is not set up on this server"));
    assert!(!client(&transport).call::<bool>(&Context::new(), "asks", ()).await.unwrap());
}
