//! Custom serializers for arguments, results, payloads and contexts, as in oslo.

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    context::Context,
    error::TransportError,
    failure::Failure,
    limited,
    listener::{Caller, Delivery, Listener, Replier, ReplySink},
    message::{Notification, Priority, Reply, Request},
    options::{CallOptions, ListenOptions, SendOptions},
    payload::Payload,
    pending_reply::PendingReply,
    target::Target,
    text::chain,
    transport::Transport,
    wrap::{Wrap, wrap},
};

/// The error of a serializer.
pub type SerializerError = Box<dyn Error + Send + Sync>;

/// Converts entities to a custom representation on the wire and back: oslo's `Serializer`. The representation is JSON as
/// well, because the surrounding message is; encode bytes as text.
///
/// An entity is one argument of a request, its result, or the payload of a notification. Both ends need the same
/// serializer. Without one, entities are sent as plain JSON.
pub trait Serializer: std::fmt::Debug + Send + Sync + 'static {
    /// Converts an entity to its representation on the wire.
    ///
    /// # Errors
    ///
    /// Any error of the serializer. Nothing is sent then; if the entity is a result, the caller gets a failure.
    fn serialize_entity(&self, ctxt: &Context, entity: Value) -> Result<Value, SerializerError>;

    /// Converts a received entity back.
    ///
    /// # Errors
    ///
    /// Any error of the serializer. The caller gets a failure; if the entity is a result, the call fails as
    /// `MalformedReply`.
    fn deserialize_entity(&self, ctxt: &Context, entity: Value) -> Result<Value, SerializerError>;

    /// Converts a context to its representation on the wire. By default it is unchanged.
    ///
    /// # Errors
    ///
    /// As [`serialize_entity`](Self::serialize_entity).
    fn serialize_context(&self, ctxt: Context) -> Result<Context, SerializerError> {
        Ok(ctxt)
    }

    /// Converts a received context back. By default it is unchanged.
    ///
    /// # Errors
    ///
    /// As [`deserialize_entity`](Self::deserialize_entity).
    fn deserialize_context(&self, ctxt: Context) -> Result<Context, SerializerError> {
        Ok(ctxt)
    }
}

/// Wraps a transport so that it applies a serializer to everything it sends and receives; for clients, servers, notifiers
/// and listeners.
///
/// Entities are converted through `serde_json::Value`, which costs allocations that a plain transport avoids. Values that
/// strict JSON cannot represent (`NaN`) are errors.
pub fn serialized(transport: Arc<dyn Transport>, serializer: impl Serializer) -> Arc<dyn Transport> {
    wrap(Serialized { inner: transport, serializer: Arc::new(serializer) })
}

#[derive(Debug)]
struct Serialized {
    inner: Arc<dyn Transport>,
    serializer: Arc<dyn Serializer>,
}

type Change = dyn Fn(Value) -> Result<Value, SerializerError>;

fn changed(payload: &Payload, change: &Change) -> Result<Payload, SerializerError> {
    Ok(Payload::encode(&change(payload.decode::<Value>()?)?)?)
}

fn changed_arguments(args: &Payload, change: &Change) -> Result<Payload, SerializerError> {
    let args: IndexMap<String, Value> = args.decode()?;
    let args: Result<IndexMap<_, _>, SerializerError> =
        args.into_iter().map(|(name, value)| Ok((name, change(value)?))).collect();
    Ok(Payload::encode(&args?)?)
}

fn serialize_error(what: &str, error: &SerializerError) -> TransportError {
    TransportError::InvalidTarget { reason: format!("the serializer cannot encode the {what}: {error}") }
}

impl Serialized {
    fn request(&self, mut request: Request) -> Result<Request, TransportError> {
        let (serializer, context) = (&self.serializer, request.context.clone());
        let write = {
            let (serializer, context) = (serializer.clone(), context.clone());
            move |value| serializer.serialize_entity(&context, value)
        };
        request.args =
            changed_arguments(&request.args, &write).map_err(|error| serialize_error("arguments", &error))?;
        request.context = serializer.serialize_context(context).map_err(|error| serialize_error("context", &error))?;
        Ok(request)
    }
}

fn deserialize_reply(serializer: &dyn Serializer, ctxt: &Context, reply: Reply) -> Result<Reply, TransportError> {
    let Reply::Result(result) = reply else { return Ok(reply) };
    let read = result
        .decode::<Value>()
        .map_err(SerializerError::from)
        .and_then(|value| serializer.deserialize_entity(ctxt, value))
        .and_then(|value| Ok(Payload::encode(&value)?));
    read.map(Reply::Result).map_err(|error| TransportError::MalformedReply {
        reason: format!("the serializer cannot decode the result: {error}"),
    })
}

#[async_trait]
impl Wrap for Serialized {
    fn inner(&self) -> &Arc<dyn Transport> {
        &self.inner
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        self.inner.cast(to, self.request(request)?, options).await
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        let (serializer, context) = (self.serializer.clone(), request.context.clone());
        let pending = self.inner.start(to, self.request(request)?, options).await?;
        Ok(pending.and_then(move |reply| deserialize_reply(&*serializer, &context, reply)))
    }

    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        let context = request.context.clone();
        let reply = self.inner.call(to, self.request(request)?, options).await?;
        deserialize_reply(&*self.serializer, &context, reply)
    }

    async fn notify(&self, to: &Target, mut it: Notification, options: &SendOptions) -> Result<(), TransportError> {
        let (serializer, context) = (self.serializer.clone(), it.context.clone());
        let write = move |value| serializer.serialize_entity(&context, value);
        it.payload = changed(&it.payload, &write).map_err(|error| serialize_error("payload", &error))?;
        it.context =
            self.serializer.serialize_context(it.context).map_err(|error| serialize_error("context", &error))?;
        self.inner.notify(to, it, options).await
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        let inner = self.inner.listen(on, options).await?;
        Ok(Box::new(SerializedListener { inner, serializer: self.serializer.clone() }))
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        let inner = self.inner.listen_for_notifications(on, pool, options).await?;
        Ok(Box::new(SerializedListener { inner, serializer: self.serializer.clone() }))
    }
}

/// A message whose entities a serializer can convert back.
trait Deserialized: std::fmt::Debug + Send + Sized + 'static {
    fn read(&mut self, serializer: &Arc<dyn Serializer>) -> Result<(), SerializerError>;
    fn context(&self) -> &Context;
}

impl Deserialized for Request {
    fn read(&mut self, serializer: &Arc<dyn Serializer>) -> Result<(), SerializerError> {
        self.context = serializer.deserialize_context(std::mem::take(&mut self.context))?;
        let (serializer, context) = (serializer.clone(), self.context.clone());
        self.args = changed_arguments(&self.args, &move |value| serializer.deserialize_entity(&context, value))?;
        Ok(())
    }

    fn context(&self) -> &Context {
        &self.context
    }
}

impl Deserialized for Notification {
    fn read(&mut self, serializer: &Arc<dyn Serializer>) -> Result<(), SerializerError> {
        self.context = serializer.deserialize_context(std::mem::take(&mut self.context))?;
        let (serializer, context) = (serializer.clone(), self.context.clone());
        self.payload = changed(&self.payload, &move |value| serializer.deserialize_entity(&context, value))?;
        Ok(())
    }

    fn context(&self) -> &Context {
        &self.context
    }
}

#[derive(Debug)]
struct SerializedListener<M: Send + std::fmt::Debug + 'static> {
    inner: Box<dyn Listener<M>>,
    serializer: Arc<dyn Serializer>,
}

#[async_trait]
impl<M: Deserialized> Listener<M> for SerializedListener<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        loop {
            let mut delivery = self.inner.recv().await?;
            match delivery.message.read(&self.serializer) {
                Ok(()) => {
                    let context = delivery.message.context().clone();
                    delivery.replier =
                        delivery.replier.map(|inner| serialized_replier(inner, &self.serializer, context));
                    return Ok(delivery);
                }
                Err(error) => {
                    let reason = chain(&*error).to_string();
                    limited!(warn, "rejected a message that the serializer cannot decode", error = reason);
                    delivery.settle.reject();
                    if let Some(replier) = delivery.replier {
                        let failure = Failure::builtin(
                            "ValueError",
                            format!("the serializer cannot decode the message: {error}"),
                        );
                        // In a separate task, so that dropping this future does not drop the reply.
                        tokio::spawn(async move { drop(replier.reply(Reply::Failure(Box::new(failure))).await) });
                    }
                }
            }
        }
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }

    fn is_subscribed(&self) -> bool {
        self.inner.is_subscribed()
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        self.inner.subscribed()
    }
}

fn serialized_replier(inner: Replier, serializer: &Arc<dyn Serializer>, context: Context) -> Replier {
    let interval = inner.heartbeat_interval();
    Replier::new(Box::new(SerializedReply { inner, serializer: serializer.clone(), context }), interval)
}

struct SerializedReply {
    inner: Replier,
    serializer: Arc<dyn Serializer>,
    context: Context,
}

#[async_trait]
impl ReplySink for SerializedReply {
    fn caller(&self) -> Option<Caller> {
        self.inner.caller()
    }

    async fn heartbeat(&self) -> Result<(), TransportError> {
        self.inner.heartbeat().await
    }

    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        let Self { inner, serializer, context } = *self;
        let write = move |value| serializer.serialize_entity(&context, value);
        let reply = match reply {
            Reply::Result(result) => match changed(&result, &write) {
                Ok(result) => Reply::Result(result),
                Err(error) => {
                    let message = format!("the serializer cannot encode the result: {error}");
                    Reply::Failure(Box::new(Failure::builtin("TypeError", message)))
                }
            },
            failure @ Reply::Failure(_) => failure,
        };
        inner.reply(reply).await
    }
}
