//! From a URL to a transport.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Driver, OptionError, Settings, Transport, TransportError, TransportUrl};

use crate::transport::MemoryBus;

/// Answers for `memory://`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oxlo_transport::TransportError> {
/// use oxlo_driver_memory::MemoryDriver;
/// use oxlo_transport::{ListenOptions, Registry, Target};
///
/// let drivers = Registry::new().with(MemoryDriver);
/// let client = drivers.transport("memory://shop").connect().await?;
/// let server = drivers.transport("memory://shop?name=node-7").connect().await?; // on the same bus
/// let on = Target::topic("orders").server("node-7");
/// let listener = server.listen(&on, &ListenOptions::new()).await?;
/// assert!(listener.is_subscribed());
/// # client.close().await; Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryDriver;

#[async_trait]
impl Driver for MemoryDriver {
    fn schemes(&self) -> &'static [&'static str] {
        &["memory"]
    }

    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError> {
        let bus = bus_name(url)?;
        let mut options = url.options();
        let name = options.text("name");
        let exchanges = options.text("exchanges");
        options.finish().map_err(|error| refused(&error))?;
        let transport = MemoryBus::named(bus).connect(name, settings);
        match exchanges {
            None | Some("isolated") => Ok(Arc::new(transport)),
            Some("shared") => Ok(Arc::new(transport.sharing_exchanges())),
            Some(_) => Err(TransportError::Config {
                option: "exchanges".to_owned(),
                reason: "it is `isolated`, or `shared` as on RabbitMQ".to_owned(),
            }),
        }
    }
}

/// The name of the bus stands where other URLs have their host; what else they have there means nothing here.
fn bus_name(url: &TransportUrl) -> Result<&str, TransportError> {
    let unusable = |option: &str| TransportError::Config {
        option: option.to_owned(),
        reason: "a memory URL has nothing but the name of a bus: memory://name".into(),
    };
    if url.virtual_host().is_some() {
        return Err(unusable("virtual_host"));
    }
    match url.hosts() {
        [] => Ok(""),
        [host] if host.port().is_some() => Err(unusable("port")),
        [host] if host.credentials().is_some() => Err(unusable("credentials")),
        [host] => Ok(host.name()),
        _ => Err(unusable("hosts")),
    }
}

fn refused(error: &OptionError) -> TransportError {
    let option = match error {
        OptionError::Value { name, .. } => (*name).to_owned(),
        OptionError::Unknown { name, .. } => name.clone().unwrap_or_else(|| "(unknown)".into()),
    };
    TransportError::Config { option, reason: error.to_string() }
}
