//! Three RabbitMQ nodes that form a cluster.

use std::time::Duration;

use crate::{admin::VhostAdmin, broker::Broker, builder::BrokerBuilder, control::binary, wait::eventually};

// A paused node looks for the others once a second, and then restarts the broker's application.
const WHOLE_LIMIT: Duration = Duration::from_secs(90);
// What a failed test shows of each node's log.
const LAST_LINES: usize = 80;

/// A cluster of three RabbitMQ nodes on loopback that belongs to one test.
///
/// Each node has its own folder, ports and process; they share an epmd and a cookie. A node without a majority pauses
/// (`cluster_partition_handling = pause_minority`): it closes its connections and its port until it has one again. Dropping it ends
/// all three, as [`Broker`] says.
#[derive(Debug)]
pub struct Cluster {
    nodes: [Broker; 3],
}

impl Cluster {
    /// Starts three nodes and joins them, 10 to 20 s.
    ///
    /// # Panics
    ///
    /// As [`Broker::start`].
    pub async fn start() -> Self {
        let first = settings(Broker::builder()).start().await;
        // Both boot while the first one is idle.
        let (second, third) = tokio::join!(
            settings(Broker::builder().beside(&first)).start(),
            settings(Broker::builder().beside(&first)).start()
        );
        second.join_cluster(&first).await;
        third.join_cluster(&first).await;
        let this = Self { nodes: [first, second, third] };
        this.whole().await;
        this
    }

    /// The transport URL with all three hosts, vhost `/`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(&[0, 1, 2])
    }

    /// The transport URL with the hosts of these nodes.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[must_use]
    pub fn url_of(&self, nodes: &[usize]) -> String {
        let hosts: Vec<String> =
            nodes.iter().map(|node| format!("guest:guest@127.0.0.1:{}", self.nodes[*node].port())).collect();
        format!("rabbit://{}/", hosts.join(","))
    }

    /// One node, 0 to 2.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[must_use]
    pub fn node(&self, node: usize) -> &Broker {
        &self.nodes[node]
    }

    /// The two other nodes.
    #[must_use]
    pub fn others(node: usize) -> [usize; 2] {
        match node {
            0 => [1, 2],
            1 => [0, 2],
            _ => [0, 1],
        }
    }

    /// The node that leads a quorum queue or holds a classic one, as `vhost` reports it.
    pub async fn leader(&self, vhost: &VhostAdmin, queue: &str) -> Option<usize> {
        let expressions = format!(
            "case rabbit_amqqueue:lookup({}) of
                {{ok, Queue}} ->
                    case amqqueue:get_pid(Queue) of
                        {{_, Node}} -> atom_to_binary(Node);
                        Pid -> atom_to_binary(node(Pid))
                    end;
                _ -> <<>>
            end.",
            resource(vhost, queue)
        );
        let name: String = vhost.control().eval(&expressions).await;
        self.nodes.iter().position(|node| node.node_name() == name)
    }

    /// Makes a node the leader of a quorum queue, and waits until it is.
    ///
    /// # Panics
    ///
    /// When it takes more than 90 s.
    pub async fn lead(&self, node: usize, vhost: &VhostAdmin, queue: &str) {
        let transfer = format!(
            "{{ok, Queue}} = rabbit_amqqueue:lookup({}),
            {{Name, _}} = Leader = amqqueue:get_pid(Queue),
            _ = ra:transfer_leadership(Leader, {{Name, '{}'}}),
            <<>>.",
            resource(vhost, queue),
            self.nodes[node].node_name()
        );
        let leads = async || {
            let leader = self.leader(vhost, queue).await;
            if leader != Some(node) {
                let _: Result<String, _> = vhost.control().try_evaluate(&transfer).await;
            }
            leader
        };
        eventually(WHOLE_LIMIT, "the queue's leader moves", leads, |leader| *leader == Some(node)).await;
    }

    /// The node that a connection of [`VhostAdmin::connections`] leads to, by the connection's name.
    #[must_use]
    pub fn node_of(&self, connection: &str) -> Option<usize> {
        self.nodes.iter().position(|node| connection.ends_with(&format!(":{}", node.port())))
    }

    /// Waits until every node runs and sees the two others, and every quorum queue has a leader and two
    /// followers.
    ///
    /// # Panics
    ///
    /// When it takes more than 90 s.
    pub async fn whole(&self) {
        let expressions = "Quorum = [Q || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue],
            Online = fun(Q) ->
                {Name, _} = amqqueue:get_pid(Q),
                Roles = [Role || N <- maps:get(nodes, amqqueue:get_type_state(Q)), {_, Role} <- erpc:call(N, ets, lookup, [ra_state, Name])],
                lists:sort(Roles) =:= [follower, follower, leader]
            end,
            Running = length(rabbit_mnesia:cluster_nodes(running)),
            Running =:= 3 andalso rabbit:is_running() andalso lists:all(Online, Quorum).";
        for node in &self.nodes {
            let seen = async || node.control().try_evaluate::<bool>(expressions).await;
            let whole =
                eventually(WHOLE_LIMIT, "the node sees a whole cluster", seen, |whole| *whole == Ok(true)).await;
            assert_eq!(whole, Ok(true));
        }
    }

    /// Partitions a node from the two others: connections between them end, and new ones are refused. Clients still reach each node.
    ///
    /// The node uses a wrong cookie for each peer, which has the effect of a network that drops everything without the wait for
    /// `net_ticktime`.
    pub async fn partition(&self, node: usize) {
        let cut = self.each_peer(node, "erlang:set_cookie(Peer, 'not-ours'), erlang:disconnect_node(Peer)");
        self.nodes[node].control().eval::<String>(&cut).await;
    }

    /// Ends [`partition`](Self::partition). Returns at once; the node needs some seconds to come back, see [`whole`](Self::whole).
    pub async fn heal(&self, node: usize) {
        let mend = self.each_peer(node, &format!("erlang:set_cookie(Peer, '{}')", self.nodes[node].cookie()));
        self.nodes[node].control().eval::<String>(&mend).await;
    }

    /// Whether a node serves clients, and is not paused.
    pub async fn serves(&self, node: usize) -> bool {
        self.nodes[node].control().try_evaluate::<bool>("rabbit:is_running().").await == Ok(true)
    }

    fn each_peer(&self, node: usize, work: &str) -> String {
        let peers: Vec<String> =
            Self::others(node).iter().map(|peer| format!("'{}'", self.nodes[*peer].node_name())).collect();
        format!("lists:foreach(fun(Peer) -> {work} end, [{}]).", peers.join(","))
    }
}

impl Drop for Cluster {
    /// Prints the end of the nodes' logs when a test fails.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &self.nodes {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "{}, the end of its log:\n{}",
                node.node_name(),
                lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
            );
        }
    }
}

/// A queue's name as an argument of the broker's functions.
fn resource(vhost: &VhostAdmin, queue: &str) -> String {
    format!("rabbit_misc:r({}, queue, {})", binary(vhost.name()), binary(queue))
}

fn settings(builder: BrokerBuilder) -> BrokerBuilder {
    builder.config("cluster_partition_handling = pause_minority\nnet_ticktime = 5")
}
