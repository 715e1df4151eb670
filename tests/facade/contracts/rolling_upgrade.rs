//! Old and new clients against old and new servers, and the cap raised at the end.

use std::sync::Arc;

use oxlo::{CallError, Context, Endpoint, Failure, MethodError, RPCServer, RunningServer, Target, Transport};

use super::calculator::bus;

mod v1_0 {
    use super::*;

    #[oxlo::contract(version = "1.0")]
    pub trait Store {
        async fn put(&self, ctxt: &Context, key: String, value: String) -> Result<String, Failure>;
    }
}

mod v1_2 {
    use super::*;

    #[oxlo::contract(version = "1.2")]
    pub trait Store {
        async fn put(
            &self,
            ctxt: &Context,
            key: String,
            value: String,
            #[rpc(since = "1.1", droppable)] hint: Option<String>,
            #[rpc(since = "1.2")] expires: Option<u32>,
        ) -> Result<String, Failure>;

        #[rpc(since = "1.2", fallback = put_one_by_one)]
        async fn put_many(&self, ctxt: &Context, pairs: Vec<(String, String)>) -> Result<String, Failure>;

        #[rpc(since = "1.2")]
        async fn purge(&self, ctxt: &Context) -> Result<String, Failure>;
    }

    async fn put_one_by_one(
        client: &StoreClient,
        ctxt: &Context,
        pairs: Vec<(String, String)>,
    ) -> Result<String, MethodError<Failure>> {
        let mut answers = Vec::new();
        for (key, value) in pairs {
            answers.push(client.put(ctxt, key, value, None, None).await?);
        }
        Ok(answers.join("; "))
    }
}

mod v2_0 {
    use super::*;

    #[oxlo::contract(version = "2.0")]
    pub trait Store {
        async fn put(&self, ctxt: &Context, entry: (String, String)) -> Result<String, Failure>;
    }
}

struct Old;

impl v1_0::Store for Old {
    async fn put(&self, _ctxt: &Context, key: String, value: String) -> Result<String, Failure> {
        Ok(format!("old {key}={value}"))
    }
}

struct New;

impl v1_2::Store for New {
    async fn put(
        &self,
        _ctxt: &Context,
        key: String,
        value: String,
        hint: Option<String>,
        expires: Option<u32>,
    ) -> Result<String, Failure> {
        Ok(format!("new {key}={value} {hint:?} {expires:?}"))
    }

    async fn put_many(&self, _ctxt: &Context, pairs: Vec<(String, String)>) -> Result<String, Failure> {
        Ok(format!("new {}", pairs.len()))
    }

    async fn purge(&self, _ctxt: &Context) -> Result<String, Failure> {
        Ok("purged".into())
    }
}

impl v2_0::Store for New {
    async fn put(&self, _ctxt: &Context, entry: (String, String)) -> Result<String, Failure> {
        Ok(format!("newest {}={}", entry.0, entry.1))
    }
}

async fn serve(transport: &Arc<dyn Transport>, server: &str, endpoints: Vec<Endpoint>) -> RunningServer {
    let builder = RPCServer::builder(transport.clone(), Target::topic("store").server(server));
    endpoints.into_iter().fold(builder, |builder, endpoint| builder.endpoint(endpoint)).start().await.unwrap()
}

fn old() -> Vec<Endpoint> {
    vec![v1_0::StoreEndpoint::new(Old).into()]
}

fn new() -> Vec<Endpoint> {
    vec![v1_2::StoreEndpoint::new(New).into()]
}

fn newest() -> Vec<Endpoint> {
    vec![v1_2::StoreEndpoint::new(New).into(), v2_0::StoreEndpoint::new(New).into()]
}

fn text(it: &str) -> String {
    it.to_owned()
}

#[tokio::test]
async fn a_service_is_upgraded_one_process_at_a_time() {
    let transport = bus("rolling").await;
    let ctxt = Context::new();
    let old_client = v1_0::StoreClient::new(transport.clone(), Target::topic("store"));
    let uncapped = v1_2::StoreClient::new(transport.clone(), Target::topic("store"));
    let capped = uncapped.prepare(|it| it.version_cap("1.0"));

    // Old and new servers share the queue: whichever takes a request, every capped request is served.
    let old_server = serve(&transport, "node-old", old()).await;
    let new_server = serve(&transport, "node-new", new()).await;
    for _ in 0..20 {
        old_client.put(&ctxt, text("k"), text("v")).await.unwrap();
        // Droppable arguments are left out under the cap.
        let answer = capped.put(&ctxt, text("k"), text("v"), Some(text("hint")), None).await.unwrap();
        assert!(!answer.contains("hint"), "{answer}");
        capped.put_many(&ctxt, vec![(text("a"), text("1")), (text("b"), text("2"))]).await.unwrap();
        // A request requires the lowest sufficient version, so this needs no cap.
        uncapped.put(&ctxt, text("k"), text("v"), None, None).await.unwrap();
    }
    // A request that old servers cannot serve is refused before it is sent.
    let error = capped.put(&ctxt, text("k"), text("v"), None, Some(60)).await.unwrap_err();
    assert!(matches!(error.call(), Some(CallError::VersionCap { .. })), "{error}");
    let error = capped.purge(&ctxt).await.unwrap_err();
    assert!(matches!(error.call(), Some(CallError::VersionCap { .. })), "{error}");
    assert!(!error.may_have_run());

    // Without the cap such a request reaches an old server, which refuses it.
    let error = uncapped.prepare(|it| it.server("node-old")).purge(&ctxt).await.unwrap_err();
    assert!(error.call().is_some_and(CallError::is_unsupported_version) && !error.may_have_run(), "{error}");
    assert_eq!(uncapped.prepare(|it| it.server("node-new")).purge(&ctxt).await.unwrap(), "purged");

    // The last old server stops, and the cap is raised.
    old_server.stop();
    old_server.wait().await.unwrap();
    let raised = capped.prepare(|it| it.version_cap("1.2"));
    assert_eq!(
        raised.put(&ctxt, text("k"), text("v"), Some(text("h")), Some(60)).await.unwrap(),
        "new k=v Some(\"h\") Some(60)"
    );
    assert_eq!(raised.put_many(&ctxt, vec![(text("a"), text("1"))]).await.unwrap(), "new 1");
    assert_eq!(old_client.put(&ctxt, text("k"), text("v")).await.unwrap(), "new k=v None None");
    new_server.stop();
    new_server.wait().await.unwrap();
}

#[tokio::test]
async fn two_majors_are_served_side_by_side() {
    let transport = bus("majors").await;
    let _server = serve(&transport, "node-1", newest()).await;
    let ctxt = Context::new();
    let first = v1_0::StoreClient::new(transport.clone(), Target::topic("store"));
    assert_eq!(first.put(&ctxt, text("k"), text("v")).await.unwrap(), "new k=v None None");
    let second = v2_0::StoreClient::new(transport, Target::topic("store"));
    assert_eq!(second.put(&ctxt, (text("k"), text("v"))).await.unwrap(), "newest k=v");
    // A cap of another major allows nothing.
    let error = second.prepare(|it| it.version_cap("1.9")).put(&ctxt, (text("k"), text("v"))).await.unwrap_err();
    assert!(matches!(error.call(), Some(CallError::VersionCap { .. })), "{error}");
}
