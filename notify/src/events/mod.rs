//! Events: publish-subscribe between services.

mod dispatcher;
mod listener;
mod names;
mod running;
mod subscription;

pub use self::{
    dispatcher::{EventDispatcher, EventDispatcherBuilder},
    listener::{EventListener, EventListenerBuilder},
    running::RunningEventListener,
    subscription::{OnError, Subscription},
};
