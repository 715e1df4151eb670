//! The request context with names for what OpenStack's services put in it.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::context::Context;

/// A [`Context`] with accessors for what oslo.context and its users put in: who asks, for which project, under which
/// request id, within which trace. Everything else in it is carried on unchanged.
///
/// It is a `Context` by dereference, so it can be given wherever one is taken; a handler takes it as
/// `Ctxt<RequestContext>`.
///
/// ```
/// use oxlo_transport::{Context, RequestContext};
///
/// let came = Context::new().with("user_id", "u1").with("tenant", "p1").with("quota_class", "gold");
/// let mut ctxt = RequestContext::from(came);
/// assert_eq!((ctxt.user(), ctxt.project()), (Some("u1"), Some("p1")));
/// ctxt.set_request_id("req-1");
/// assert_eq!(ctxt.get_str("quota_class"), Some("gold"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestContext(Context);

/// Where a user and a project are found, newest spelling first.
const USER: &[&str] = &["user_id", "user"];
const PROJECT: &[&str] = &["project_id", "project", "tenant_id", "tenant"];

impl RequestContext {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The context itself.
    #[must_use]
    pub fn into_inner(self) -> Context {
        self.0
    }

    fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.0.get_str(key))
    }

    /// Sets a value under the newest key, and under the older ones that are there, so that nobody reads a stale one.
    fn replace(&mut self, keys: &[&str], value: &str) {
        for (place, key) in keys.iter().enumerate() {
            if place == 0 || self.0.get(key).is_some() {
                self.0.insert(*key, value);
            }
        }
    }

    /// `request_id`: names this request in the logs of every service that it passes, by custom `req-<uuid>`.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.get_str("request_id")
    }

    /// Sets `request_id`.
    pub fn set_request_id(&mut self, id: &str) {
        self.0.insert("request_id", id);
    }

    /// `global_request_id`: the request id of the service that began it all.
    #[must_use]
    pub fn global_request_id(&self) -> Option<&str> {
        self.0.get_str("global_request_id")
    }

    /// Sets `global_request_id`.
    pub fn set_global_request_id(&mut self, id: &str) {
        self.0.insert("global_request_id", id);
    }

    /// Who asks: `user_id`, or its old name `user`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.first(USER)
    }

    /// Sets who asks.
    pub fn set_user(&mut self, user: &str) {
        self.replace(USER, user);
    }

    /// For which project: `project_id`, or its old names `project`, `tenant_id` and `tenant`.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.first(PROJECT)
    }

    /// Sets for which project.
    pub fn set_project(&mut self, project: &str) {
        self.replace(PROJECT, project);
    }

    /// `roles`: what who asks may do; empty if there are none.
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        let roles = self.0.get("roles").and_then(|roles| roles.as_array());
        roles.into_iter().flatten().filter_map(|role| role.as_str()).collect()
    }

    /// `is_admin`; `false` if it is not there.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.0.get("is_admin").and_then(|admin| admin.as_bool()).unwrap_or(false)
    }

    /// `traceparent`: where this request stands in its W3C trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.0.get_str("traceparent")
    }

    /// `tracestate`: what tracing systems add to it.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.0.get_str("tracestate")
    }
}

impl From<Context> for RequestContext {
    fn from(context: Context) -> Self {
        Self(context)
    }
}

impl From<RequestContext> for Context {
    fn from(context: RequestContext) -> Self {
        context.0
    }
}

impl Deref for RequestContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl DerefMut for RequestContext {
    fn deref_mut(&mut self) -> &mut Context {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_names_are_read_and_kept_up_to_date() {
        let mut ctxt = RequestContext::from(Context::new().with("tenant", "p0").with("x", 1));
        assert_eq!((ctxt.project(), ctxt.user(), ctxt.is_admin()), (Some("p0"), None, false));
        ctxt.set_project("p1");
        ctxt.set_user("u1");
        let context = ctxt.into_inner();
        let entries: Vec<_> = context.iter().map(|(key, value)| (key, value.clone())).collect();
        let expected =
            [("tenant", json!("p1")), ("x", json!(1)), ("project_id", json!("p1")), ("user_id", json!("u1"))];
        assert_eq!(entries, expected);
    }

    #[test]
    fn what_has_another_type_is_not_there() {
        let ctxt = RequestContext::from(Context::new().with("user_id", 7).with("user", "u").with("roles", "admin"));
        assert_eq!((ctxt.user(), ctxt.roles().len()), (Some("u"), 0));
        let ctxt = RequestContext::from(Context::new().with("roles", vec!["a", "b"]).with("is_admin", true));
        assert_eq!((ctxt.roles(), ctxt.is_admin()), (vec!["a", "b"], true));
    }
}
