//! The request context with accessors for the entries of OpenStack services.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::context::Context;

/// A [`Context`] with accessors for the entries of oslo.context and its users: user, project, request id, trace. All other
/// entries are preserved.
///
/// It dereferences to `Context`, so it can be passed wherever a `&Context` is expected; a handler extracts it as
/// `Ctxt<RequestContext>`.
///
/// ```
/// use oxlo_transport::{Context, RequestContext};
///
/// let received = Context::new().with("user_id", "u1").with("tenant", "p1").with("quota_class", "gold");
/// let mut ctxt = RequestContext::from(received);
/// assert_eq!((ctxt.user(), ctxt.project()), (Some("u1"), Some("p1")));
/// ctxt.set_request_id("req-1");
/// assert_eq!(ctxt.get_str("quota_class"), Some("gold"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestContext(Context);

/// The keys of user and project, newest first.
const USER: &[&str] = &["user_id", "user"];
const PROJECT: &[&str] = &["project_id", "project", "tenant_id", "tenant"];

impl RequestContext {
    /// Creates an empty request context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the inner context.
    #[must_use]
    pub fn into_inner(self) -> Context {
        self.0
    }

    fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.0.get_str(key))
    }

    /// Sets the value of the newest key, and of older keys that exist, so that none of them is stale.
    fn replace(&mut self, keys: &[&str], value: &str) {
        for (place, key) in keys.iter().enumerate() {
            if place == 0 || self.0.get(key).is_some() {
                self.0.insert(*key, value);
            }
        }
    }

    /// `request_id`: identifies this request in the logs of every service, by convention `req-<uuid>`.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.get_str("request_id")
    }

    /// Sets `request_id`.
    pub fn set_request_id(&mut self, id: &str) {
        self.0.insert("request_id", id);
    }

    /// `global_request_id`: the request id of the service where the operation started.
    #[must_use]
    pub fn global_request_id(&self) -> Option<&str> {
        self.0.get_str("global_request_id")
    }

    /// Sets `global_request_id`.
    pub fn set_global_request_id(&mut self, id: &str) {
        self.0.insert("global_request_id", id);
    }

    /// The user: `user_id`, or its old name `user`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.first(USER)
    }

    /// Sets the user.
    pub fn set_user(&mut self, user: &str) {
        self.replace(USER, user);
    }

    /// The project: `project_id`, or its old names `project`, `tenant_id` and `tenant`.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.first(PROJECT)
    }

    /// Sets the project.
    pub fn set_project(&mut self, project: &str) {
        self.replace(PROJECT, project);
    }

    /// `roles`: the roles of the user; empty if the entry is absent or not a list.
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        let roles = self.0.get("roles").and_then(|roles| roles.as_array());
        roles.into_iter().flatten().filter_map(|role| role.as_str()).collect()
    }

    /// `is_admin`; `false` if the entry is absent or not a boolean.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.0.get("is_admin").and_then(|admin| admin.as_bool()).unwrap_or(false)
    }

    /// `traceparent`: the position of this request in its W3C trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.0.get_str("traceparent")
    }

    /// `tracestate`: vendor-specific data of the W3C trace.
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
    fn entries_of_another_type_are_ignored() {
        let ctxt = RequestContext::from(Context::new().with("user_id", 7).with("user", "u").with("roles", "admin"));
        assert_eq!((ctxt.user(), ctxt.roles().len()), (Some("u"), 0));
        let ctxt = RequestContext::from(Context::new().with("roles", vec!["a", "b"]).with("is_admin", true));
        assert_eq!((ctxt.roles(), ctxt.is_admin()), (vec!["a", "b"], true));
    }
}
