//! Upgrades a service one process at a time: old and new servers share a queue, a version cap limits new clients to what
//! both implement, and the cap is raised when the last old server is gone.
//!
//! ```text
//! cargo run --example rolling_upgrade
//! ```

use std::{error::Error, sync::Arc};

use oxlo::{Context, Endpoint, Failure, MethodError, RPCServer, RunningServer, Target, Transport};

mod before {
    use super::{Context, Failure};

    /// The contract before the upgrade.
    #[oxlo::contract(version = "1.0")]
    pub trait Store {
        /// Stores a value.
        async fn put(&self, ctxt: &Context, key: String, value: String) -> Result<String, Failure>;
    }
}

mod after {
    use super::{Context, Failure, MethodError};

    /// The contract after the upgrade: a server that implements 1.1 also serves requests for 1.0.
    #[oxlo::contract(version = "1.1")]
    pub trait Store {
        /// Stores a value, for `seconds` if given and supported by the servers.
        async fn put(
            &self,
            ctxt: &Context,
            key: String,
            value: String,
            #[rpc(since = "1.1", droppable)] seconds: Option<u32>,
        ) -> Result<String, Failure>;

        /// Stores several values in one request; with older servers, in one request each.
        #[rpc(since = "1.1", fallback = one_by_one)]
        async fn put_many(&self, ctxt: &Context, pairs: Vec<(String, String)>) -> Result<String, Failure>;
    }

    async fn one_by_one(
        client: &StoreClient,
        ctxt: &Context,
        pairs: Vec<(String, String)>,
    ) -> Result<String, MethodError<Failure>> {
        let count = pairs.len();
        for (key, value) in pairs {
            client.put(ctxt, key, value, None).await?;
        }
        Ok(format!("{count} values, one request each"))
    }
}

struct Old;

impl before::Store for Old {
    async fn put(&self, _ctxt: &Context, key: String, _value: String) -> Result<String, Failure> {
        Ok(format!("an old server stores {key} forever"))
    }
}

struct New;

impl after::Store for New {
    async fn put(&self, _ctxt: &Context, key: String, _value: String, seconds: Option<u32>) -> Result<String, Failure> {
        Ok(match seconds {
            Some(seconds) => format!("a new server stores {key} for {seconds} s"),
            None => format!("a new server stores {key} forever"),
        })
    }

    async fn put_many(&self, _ctxt: &Context, pairs: Vec<(String, String)>) -> Result<String, Failure> {
        Ok(format!("{} values in one request", pairs.len()))
    }
}

async fn serve(
    transport: &Arc<dyn Transport>,
    server: &str,
    endpoint: impl Into<Endpoint>,
) -> Result<RunningServer, Box<dyn Error>> {
    let target = Target::topic("store").server(server);
    Ok(RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await?)
}

fn pairs() -> Vec<(String, String)> {
    vec![("a".into(), "1".into()), ("b".into(), "2".into())]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://upgrade".to_owned());
    let transport = oxlo::connect(url).await?;
    let ctxt = Context::new();
    let old = serve(&transport, "node-1", before::StoreEndpoint::new(Old)).await?;
    let new = serve(&transport, "node-2", after::StoreEndpoint::new(New)).await?;
    let store = after::StoreClient::new(transport.clone(), Target::topic("store"));

    println!("Old and new servers, a new client with cap 1.0:");
    let capped = store.prepare(|it| it.version_cap("1.0"));
    for _ in 0..4 {
        println!("   {}", capped.put(&ctxt, "k".into(), "v".into(), Some(60)).await?);
    }
    println!("   {}", capped.put_many(&ctxt, pairs()).await?);

    old.stop();
    old.wait().await?;
    println!("The last old server is gone; the cap is raised to 1.1:");
    let raised = capped.prepare(|it| it.version_cap("1.1"));
    println!("   {}", raised.put(&ctxt, "k".into(), "v".into(), Some(60)).await?);
    println!("   {}", raised.put_many(&ctxt, pairs()).await?);

    println!("Old clients are still served:");
    let client = before::StoreClient::new(transport.clone(), Target::topic("store"));
    println!("   {}", client.put(&ctxt, "k".into(), "v".into()).await?);

    new.stop();
    new.wait().await?;
    transport.close().await;
    Ok(())
}
