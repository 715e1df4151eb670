//! Routes of requests by target, so that names and declarations are not made for each request.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use oxlo_transport::Target;

/// Maximum number of routes; a program has a few topics, each with its servers.
const MAX_ROUTES: usize = 4096;

/// The parts of a target that determine its route.
type Key = (Option<Arc<str>>, Option<Arc<str>>, Option<Arc<str>>, bool);

/// The routes to the targets of one transport.
#[derive(Debug)]
pub(crate) struct RouteCache<R>(RwLock<HashMap<Key, R>>);

impl<R> Default for RouteCache<R> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<R: Clone> RouteCache<R> {
    /// The route to a target, made by `make` on first use.
    pub(crate) fn get_or_try_insert<E>(&self, to: &Target, make: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        let key = (to.exchange.clone(), to.topic.clone(), to.server.clone(), to.fanout);
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let route = make()?;
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= MAX_ROUTES {
            routes.clear();
        }
        routes.insert(key, route.clone());
        Ok(route)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn route(routes: &RouteCache<Arc<String>>, to: &Target) -> Arc<String> {
        routes.get_or_try_insert(to, || Ok::<_, ()>(Arc::new(to.to_string()))).unwrap()
    }

    #[test]
    fn each_target_has_its_own_and_keeps_it() {
        let routes = RouteCache::default();
        let targets = [
            Target::topic("a"),
            Target::topic("b"),
            Target::topic("a").server("s"),
            Target::topic("a").exchange("e"),
            Target::topic("a").fanout(true),
        ];
        let made: Vec<_> = targets.iter().map(|to| route(&routes, to)).collect();
        for (one, made_first) in made.iter().enumerate() {
            assert!(Arc::ptr_eq(made_first, &route(&routes, &targets[one])));
            assert!(made.iter().enumerate().all(|(other, it)| one == other || !Arc::ptr_eq(made_first, it)));
        }
        assert!(Arc::ptr_eq(&made[0], &route(&routes, &Target::topic("a").version("1.7"))));
    }

    #[test]
    fn memory_is_bounded() {
        let routes = RouteCache::default();
        (0..3 * MAX_ROUTES).for_each(|server| drop(route(&routes, &Target::topic("a").server(server.to_string()))));
        assert!(routes.0.read().unwrap().len() <= MAX_ROUTES);
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let routes = RouteCache::<Arc<String>>::default();
        for _ in 0..2 {
            assert_eq!(routes.get_or_try_insert(&Target::topic("a"), || Err("no")), Err("no"));
        }
    }
}
