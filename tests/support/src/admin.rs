//! The contents of a vhost, and the administrative actions that disturb its clients.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::control::{Control, binary};

/// A queue as the broker sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it is deleted with its last consumer.
    pub auto_delete: bool,
    /// Whether it belongs to one connection.
    pub exclusive: bool,
    /// Arguments of its declaration, for example `x-expires`.
    pub arguments: Map<String, Value>,
    /// Ready and unacknowledged messages.
    pub messages: u64,
    /// Messages waiting for a consumer.
    pub messages_ready: u64,
    /// Messages delivered and not settled.
    pub messages_unacknowledged: u64,
    /// Number of consumers.
    pub consumers: u64,
    /// The broker's state for it, such as `running`, or `down` for a queue whose node is away.
    pub state: String,
}

/// An exchange as the broker sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ExchangeInfo {
    /// Its name; empty for the default exchange.
    pub name: String,
    /// `topic`, `fanout`, `direct` or `headers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it is deleted with its last binding.
    pub auto_delete: bool,
    /// Arguments of its declaration.
    pub arguments: Map<String, Value>,
}

/// A binding of a queue to an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct BindingInfo {
    /// The exchange; empty for the default exchange, to which every queue is bound by its name.
    pub exchange: String,
    /// The queue.
    pub queue: String,
    /// The routing key.
    pub routing_key: String,
}

/// A client's connection as the broker sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// `client address -> broker address`.
    pub name: String,
    /// The user it logged in as; empty before the login.
    pub user: String,
    /// Its vhost; empty before the vhost is opened.
    pub vhost: String,
    /// The broker's state for it: `running`, `blocked`, `flow`, `opening`...
    pub state: String,
    /// Open channels.
    pub channels: u64,
    /// The client's own name for the connection (`connection_name` of its properties), empty when it gave none.
    pub client_name: String,
}

/// A vhost of a test broker, seen by its administrator.
#[derive(Debug, Clone)]
pub struct VhostAdmin {
    control: Control,
    name: String,
}

impl VhostAdmin {
    pub(crate) fn new(control: Control, name: String) -> Self {
        Self { control, name }
    }

    /// The vhost's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs Erlang expressions in the broker that the vhost belongs to.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// All queues, by name.
    pub async fn queues(&self) -> Vec<QueueInfo> {
        let mut queues: Vec<QueueInfo> = self
            .eval(
                "Count = fun(N) when is_integer(N) -> N; (_) -> 0 end,
                [begin
                    G = fun(Key) -> proplists:get_value(Key, I) end,
                    {resource, _, queue, Name} = G(name),
                    #{name => Name, durable => G(durable), auto_delete => G(auto_delete), exclusive => G(exclusive) =:= true,
                      arguments => maps:from_list([{K, V} || {K, _, V} <- G(arguments)]), messages => Count(G(messages)),
                      messages_ready => Count(G(messages_ready)), messages_unacknowledged => Count(G(messages_unacknowledged)),
                      consumers => Count(G(consumers)), state => iolist_to_binary(io_lib:format(\"~tp\", [G(state)]))}
                end || I <- rabbit_amqqueue:info_all(Vhost, [name, durable, auto_delete, exclusive, arguments, messages,
                    messages_ready, messages_unacknowledged, consumers, state])].",
            )
            .await;
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        queues
    }

    /// The queue `name`, or `None` when there is none.
    pub async fn queue(&self, name: &str) -> Option<QueueInfo> {
        self.queues().await.into_iter().find(|queue| queue.name == name)
    }

    /// The exchanges that clients declared, by name; the broker's own (`""`, `amq.*`) are left out.
    pub async fn exchanges(&self) -> Vec<ExchangeInfo> {
        let mut exchanges: Vec<ExchangeInfo> = self
            .eval(
                "[begin
                    G = fun(Key) -> proplists:get_value(Key, I) end,
                    {resource, _, exchange, Name} = G(name),
                    #{name => Name, type => G(type), durable => G(durable), auto_delete => G(auto_delete),
                      arguments => maps:from_list([{K, V} || {K, _, V} <- G(arguments)])}
                end || I <- rabbit_exchange:info_all(Vhost, [name, type, durable, auto_delete, arguments])].",
            )
            .await;
        exchanges.retain(|exchange| !exchange.name.is_empty() && !exchange.name.starts_with("amq."));
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        exchanges
    }

    /// The bindings of queues, except those to the default exchange.
    pub async fn bindings(&self) -> Vec<BindingInfo> {
        let mut bindings: Vec<BindingInfo> = self
            .eval(
                "[#{exchange => X, queue => Q, routing_key => K}
                 || {binding, {resource, _, _, X}, K, {resource, _, queue, Q}, _} <- rabbit_binding:list(Vhost)].",
            )
            .await;
        bindings.retain(|binding| !binding.exchange.is_empty());
        bindings.sort_by(|a, b| (&a.exchange, &a.queue, &a.routing_key).cmp(&(&b.exchange, &b.queue, &b.routing_key)));
        bindings
    }

    /// Everything that clients declared, with random ids replaced (see [`without_ids`]) so that two vhosts can be compared.
    pub async fn declared(&self) -> Value {
        let queues = self.queues().await.into_iter().map(|it| {
            json!({
                "name": without_ids(&it.name), "durable": it.durable, "auto_delete": it.auto_delete,
                "exclusive": it.exclusive, "arguments": it.arguments,
            })
        });
        let mut queues: Vec<Value> = queues.collect();
        queues.sort_by_key(|queue| queue["name"].to_string());
        let exchanges = self.exchanges().await.into_iter();
        let exchanges = exchanges.map(|it| json!([it.name, it.kind, it.durable, it.auto_delete, it.arguments]));
        let bindings = self.bindings().await.into_iter();
        let bindings = bindings.map(|it| json!([it.exchange, without_ids(&it.queue), it.routing_key]));
        json!({
            "queues": queues, "exchanges": exchanges.collect::<Vec<_>>(), "bindings": bindings.collect::<Vec<_>>(),
        })
    }

    /// The connections that are open to this vhost.
    pub async fn connections(&self) -> Vec<ConnectionInfo> {
        self.eval(
            "Word = fun(W) when is_binary(W); is_atom(W) -> W; (_) -> <<>> end,
            [begin
                G = fun(Key) -> proplists:get_value(Key, I) end,
                Own = case lists:keyfind(<<\"connection_name\">>, 1, G(client_properties)) of {_, _, N} -> N; false -> <<>> end,
                #{name => Word(G(name)), user => Word(G(user)), vhost => Word(G(vhost)), state => Word(G(state)),
                  channels => G(channels), client_name => Own}
            end || I <- rabbit_networking:connection_info_all([name, user, vhost, state, channels, client_properties]),
                   proplists:get_value(vhost, I) =:= Vhost].",
        )
        .await
    }

    /// Closes every connection to this vhost as an administrator does (`CONNECTION_FORCED`, 320), and returns how many there were.
    pub async fn close_all_connections(&self, reason: &str) -> usize {
        self.eval(&format!(
            "Pids = [proplists:get_value(pid, I) || I <- rabbit_networking:connection_info_all([pid, vhost]),
                     proplists:get_value(vhost, I) =:= Vhost],
            [rabbit_networking:close_connection(Pid, binary_to_list({})) || Pid <- Pids],
            length(Pids).",
            binary(reason)
        ))
        .await
    }

    /// Closes the connection with the broker's name `name` (see [`ConnectionInfo::name`]); `false` when there is none.
    pub async fn close_connection(&self, name: &str, reason: &str) -> bool {
        self.eval(&format!(
            "Pids = [proplists:get_value(pid, I) || I <- rabbit_networking:connection_info_all([pid, name]),
                     proplists:get_value(name, I) =:= {}],
            [rabbit_networking:close_connection(Pid, binary_to_list({})) || Pid <- Pids],
            Pids =/= [].",
            binary(name),
            binary(reason)
        ))
        .await
    }

    /// Deletes a queue with everything in it, which cancels its consumers; `false` when there is none.
    pub async fn delete_queue(&self, name: &str) -> bool {
        self.eval(&format!(
            "case rabbit_amqqueue:lookup(rabbit_misc:r(Vhost, queue, {})) of
                {{ok, Queue}} -> {{ok, _}} = rabbit_amqqueue:delete(Queue, false, false, <<\"oxlo\">>), true;
                {{error, _}} -> false
            end.",
            binary(name)
        ))
        .await
    }

    /// Evaluates expressions in which `Vhost` is this vhost's name.
    async fn eval<T: serde::de::DeserializeOwned + Send + 'static>(&self, expressions: &str) -> T {
        self.control.eval(&format!("Vhost = {}, {expressions}", binary(&self.name))).await
    }
}

/// The arguments of a queue as they were declared: RabbitMQ 4 adds `x-queue-type: classic` where no type is named.
#[must_use]
pub fn without_default_type(arguments: &Value) -> Value {
    let mut arguments = arguments.clone();
    if arguments["x-queue-type"] == "classic" {
        arguments.as_object_mut().expect("arguments are an object").remove("x-queue-type");
    }
    arguments
}

/// Replaces every run of 32 hexadecimal digits by `H`, so that texts with random ids can be compared.
#[must_use]
pub fn without_ids(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut digits = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_hexdigit() && !c.is_ascii_uppercase() {
            digits.push(c);
            continue;
        }
        plain.push_str(if digits.len() == 32 { "H" } else { &digits });
        digits.clear();
        plain.push(c);
    }
    plain.pop();
    plain
}
