//! Shared values of handlers, by type.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
};

use foldhash::HashMap;

/// Shared values of handlers, one of each type.
#[derive(Clone, Default)]
pub struct States(HashMap<TypeId, Entry>);

#[derive(Clone)]
struct Entry {
    type_name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl States {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts a value, replacing one of the same type.
    pub fn insert<S: Send + Sync + 'static>(&mut self, value: S) {
        let entry = Entry { type_name: std::any::type_name::<S>(), value: Arc::new(value) };
        self.0.insert(TypeId::of::<S>(), entry);
    }

    /// The value of type `S`.
    #[must_use]
    pub fn get<S: Send + Sync + 'static>(&self) -> Option<&S> {
        self.0.get(&TypeId::of::<S>()).and_then(|entry| entry.value.downcast_ref())
    }
}

impl fmt::Debug for States {
    /// The names of the types; the values need not be `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.values().map(|entry| entry.type_name)).finish()
    }
}
