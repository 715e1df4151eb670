//! Where requests go, kept by target, so that names and declarations are not made anew for each.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use oxlo_transport::Target;

use crate::topology::Route;

/// How many are kept at most; a program has a few topics, each with its servers.
const MOST: usize = 4096;

/// What of a target decides on its route.
type Key = (Option<Arc<str>>, Option<Arc<str>>, Option<Arc<str>>, bool);

#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<HashMap<Key, Arc<Route>>>);

impl Routes {
    /// The route to a target, made by `make` the first time.
    pub(crate) fn of<E>(&self, to: &Target, make: impl FnOnce() -> Result<Route, E>) -> Result<Arc<Route>, E> {
        let key = (to.exchange.clone(), to.topic.clone(), to.server.clone(), to.fanout);
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let route = Arc::new(make()?);
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= MOST {
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
    use crate::topology::TopologyOptions;

    fn of(routes: &Routes, to: &Target) -> Arc<Route> {
        routes.of(to, || Ok::<_, ()>(TopologyOptions::reply_route(&to.to_string()))).unwrap()
    }

    #[test]
    fn each_target_has_its_own_and_keeps_it() {
        let routes = Routes::default();
        let targets = [
            Target::topic("a"),
            Target::topic("b"),
            Target::topic("a").server("s"),
            Target::topic("a").exchange("e"),
            Target::topic("a").fanout(true),
        ];
        let made: Vec<_> = targets.iter().map(|to| of(&routes, to)).collect();
        for (one, route) in made.iter().enumerate() {
            assert!(Arc::ptr_eq(route, &of(&routes, &targets[one])));
            assert!(made.iter().enumerate().all(|(other, it)| one == other || !Arc::ptr_eq(route, it)));
        }
        assert!(Arc::ptr_eq(&made[0], &of(&routes, &Target::topic("a").version("1.7"))));
    }

    #[test]
    fn memory_is_bounded() {
        let routes = Routes::default();
        (0..3 * MOST).for_each(|server| drop(of(&routes, &Target::topic("a").server(server.to_string()))));
        assert!(routes.0.read().unwrap().len() <= MOST);
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let routes = Routes::default();
        for _ in 0..2 {
            assert_eq!(routes.of(&Target::topic("a"), || Err::<Route, _>("no")), Err("no"));
        }
    }
}
