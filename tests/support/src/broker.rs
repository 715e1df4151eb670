//! A RabbitMQ node that belongs to one test.

use std::{ops::Deref, sync::Arc};

use rustix::process::Signal;

use crate::{
    admin::VhostAdmin,
    builder::BrokerBuilder,
    control::binary,
    installation::RabbitVersion,
    node::{Epmd, Node},
};

/// A RabbitMQ node that belongs to one test.
///
/// It listens on leased loopback ports, keeps its data in a temporary folder and has its own epmd and cookie. Started by root it runs
/// as user `rabbitmq`. It derefs to the administrator's view of its vhost `/`, for [`VhostAdmin::queues`] and the like.
///
/// Dropping it kills the node's whole process tree and deletes its folder; so does the end of the test process, however it ends (a
/// folder that is left over is deleted by a broker that starts later).
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    admin: VhostAdmin,
}

impl Broker {
    /// Starts a node with default settings and waits until it accepts clients, 4 to 8 s.
    ///
    /// # Panics
    ///
    /// When RabbitMQ is not installed or does not come up within two minutes, showing its log.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A builder for a node with other than default settings.
    #[must_use]
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    pub(crate) async fn launch(settings: BrokerBuilder) -> Self {
        let node = blocking(move || {
            let node = Node::prepare(settings);
            node.boot();
            node
        })
        .await;
        Self { admin: VhostAdmin::new(node.control.clone(), "/".to_owned()), node: Arc::new(node) }
    }

    /// `rabbit://guest:guest@127.0.0.1:PORT/`, the vhost `/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/", self.port())
    }

    /// The plain AMQP port; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.port()
    }

    /// The TLS port.
    ///
    /// # Panics
    ///
    /// When the broker was built without [`BrokerBuilder::tls`].
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.node.tls_port().expect("this broker was built without tls()")
    }

    /// The version of RabbitMQ that it runs.
    #[must_use]
    pub fn version(&self) -> RabbitVersion {
        self.node.version()
    }

    /// The Erlang node's name.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.node.node_name()
    }

    /// The Erlang node's process id.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.node.process().as_ref().expect("the broker is not running").pid()
    }

    /// Everything the node has logged since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        self.node.log()
    }

    /// Kills the node with SIGKILL: clients see their connections reset or closed without a close frame.
    pub async fn kill(&self) {
        self.on_node(Node::kill).await;
    }

    /// Stops the node as an administrator does: clients get `CONNECTION_FORCED`, data is written.
    ///
    /// # Panics
    ///
    /// When it takes more than a minute.
    pub async fn stop(&self) {
        self.on_node(Node::stop).await;
    }

    /// Restarts a node that was killed or stopped, on the same ports and data, and waits until it accepts clients. A running node is
    /// stopped first.
    ///
    /// # Panics
    ///
    /// As [`Broker::start`].
    pub async fn restart(&self) {
        self.stop().await;
        self.on_node(Node::boot).await;
    }

    /// Stops the node with SIGSTOP: connections stay open and the kernel still accepts and acknowledges bytes, but nothing answers
    /// once this returns.
    pub fn freeze(&self) {
        self.node.process().as_mut().expect("the broker is not running").freeze();
    }

    /// Ends [`Broker::freeze`].
    pub fn thaw(&self) {
        self.node.process().as_mut().expect("the broker is not running").signal(Signal::CONT);
    }

    /// Runs `rabbitmqctl` against this node and returns its output. It costs about a second of processor time: prefer
    /// [`VhostAdmin`] and [`Control::eval`](crate::Control::eval) where they suffice.
    ///
    /// # Panics
    ///
    /// When it fails, with its output.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        self.on_node(move |node| node.ctl(&arguments)).await
    }

    /// Raises or clears the memory alarm by moving the memory limit. While it is up, the broker reads nothing from connections that
    /// publish.
    pub async fn set_memory_alarm(&self, up: bool) {
        let limit = if up { "{absolute, 1}" } else { "0.6" };
        self.control().eval::<String>(&format!("vm_memory_monitor:set_vm_memory_high_watermark({limit}).")).await;
    }

    /// Raises or clears the disk alarm by moving the limit of free disk space.
    pub async fn set_disk_alarm(&self, up: bool) {
        let limit = if up { "1000000000000000" } else { "50000000" };
        self.control().eval::<String>(&format!("rabbit_disk_monitor:set_disk_free_limit({limit}).")).await;
    }

    /// The administrator's view of the vhost `name`.
    #[must_use]
    pub fn vhost(&self, name: &str) -> VhostAdmin {
        VhostAdmin::new(self.control().clone(), name.to_owned())
    }

    /// Creates a vhost that `guest` may use.
    pub async fn add_vhost(&self, name: &str) -> VhostAdmin {
        self.control().eval::<String>(&create_vhost(name)).await;
        self.vhost(name)
    }

    /// Creates a user who may do everything in the vhosts `vhosts` and cannot log in to others.
    pub async fn add_user(&self, name: &str, password: &str, vhosts: &[&str]) {
        let (name, password) = (binary(name), binary(password));
        let mut expressions = format!("ok = rabbit_auth_backend_internal:add_user({name}, {password}, <<\"oxlo\">>), ");
        for vhost in vhosts {
            expressions += &permit(&name, vhost);
        }
        self.control().eval::<String>(&(expressions + "ok.")).await;
    }

    /// Makes this node a member of the cluster that `other` is in; both must have been started [`BrokerBuilder::beside`] each other.
    /// This node's own data is lost.
    pub async fn join_cluster(&self, other: &Self) {
        // What rabbitmqctl does with stop_app, reset, join_cluster and start_app, without a second of processor time for each.
        let join = format!(
            "ok = rabbit:stop(), ok = rabbit_mnesia:reset(), ok = rabbit_mnesia:join_cluster('{}', disc), ok = rabbit:start().",
            other.node_name()
        );
        self.control().eval::<String>(&join).await;
    }

    pub(crate) fn epmd(&self) -> Arc<Epmd> {
        Arc::clone(&self.node.epmd)
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.node.cookie
    }

    async fn on_node<T: Send + 'static>(&self, work: impl FnOnce(&Node) -> T + Send + 'static) -> T {
        let node = Arc::clone(&self.node);
        blocking(move || work(&node)).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A restart that is running on another thread may keep the node alive until it ends; the node is killed then.
        self.node.kill();
    }
}

impl Deref for Broker {
    type Target = VhostAdmin;

    fn deref(&self) -> &VhostAdmin {
        &self.admin
    }
}

/// Expressions that create a vhost which `guest` may use.
pub(crate) fn create_vhost(name: &str) -> String {
    format!("ok = rabbit_vhost:add({}, <<\"oxlo\">>), {} ok.", binary(name), permit(&binary("guest"), name))
}

/// An expression that lets a user (an Erlang binary) do everything in a vhost.
fn permit(user: &str, vhost: &str) -> String {
    let vhost = binary(vhost);
    format!(
        "ok = rabbit_auth_backend_internal:set_permissions({user}, {vhost}, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"oxlo\">>),"
    )
}

/// Runs what blocks for seconds while the test's other tasks go on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
