//! A service is upgraded one process at a time: old and new servers share a queue, new clients are held to what both
//! understand, and the cap is raised when the last old server is gone.
//!
//! ```text
//! cargo run --example rolling_upgrade
//! ```

use std::{error::Error, sync::Arc};

use oxlo::{Context, Endpoint, Failure, MethodError, RPCServer, RunningServer, Target, Transport};

mod before {
    use super::{Context, Failure};

    /// What servers offered before the upgrade.
    #[oxlo::contract(version = "1.0")]
    pub trait Store {
        /// Keeps a value.
        async fn put(&self, ctxt: &Context, key: String, value: String) -> Result<String, Failure>;
    }
}

mod after {
    use super::{Context, Failure, MethodError};

    /// What they offer after it: whoever implements 1.1 serves requests of 1.0 as well.
    #[oxlo::contract(version = "1.1")]
    pub trait Store {
        /// Keeps a value, for some seconds if it is said and the servers can.
        async fn put(
            &self,
            ctxt: &Context,
            key: String,
            value: String,
            #[rpc(since = "1.1", droppable)] seconds: Option<u32>,
        ) -> Result<String, Failure>;

        /// Keeps many at once; older servers are asked for one after the other.
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
        Ok(format!("{count} values, one by one"))
    }
}

struct Old;

impl before::Store for Old {
    async fn put(&self, _ctxt: &Context, key: String, _value: String) -> Result<String, Failure> {
        Ok(format!("an old server keeps {key} for ever"))
    }
}

struct New;

impl after::Store for New {
    async fn put(&self, _ctxt: &Context, key: String, _value: String, seconds: Option<u32>) -> Result<String, Failure> {
        Ok(match seconds {
            Some(seconds) => format!("a new server keeps {key} for {seconds} s"),
            None => format!("a new server keeps {key} for ever"),
        })
    }

    async fn put_many(&self, _ctxt: &Context, pairs: Vec<(String, String)>) -> Result<String, Failure> {
        Ok(format!("{} values at once", pairs.len()))
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

    println!("Old and new servers; a new client under the cap 1.0:");
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

    println!("Old clients are served as before:");
    let client = before::StoreClient::new(transport.clone(), Target::topic("store"));
    println!("   {}", client.put(&ctxt, "k".into(), "v".into()).await?);

    new.stop();
    new.wait().await?;
    transport.close().await;
    Ok(())
}
