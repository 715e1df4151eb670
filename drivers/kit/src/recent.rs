//! A bounded memory of names.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

/// The names that were inserted last, at most so many of them, each for a limited time if there is a limit.
#[derive(Debug)]
pub(crate) struct Recent {
    most: usize,
    lasting: Option<Duration>,
    names: HashMap<Arc<str>, Instant>,
    /// The same names, in the order in which they came.
    order: VecDeque<Arc<str>>,
}

impl Recent {
    pub(crate) fn new(most: usize, lasting: Option<Duration>) -> Self {
        Self { most, lasting, names: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        match self.names.get(name) {
            Some(since) => self.lasting.is_none_or(|lasting| since.elapsed() < lasting),
            None => false,
        }
    }

    /// Remembers a name, in the place of the oldest one if there are too many.
    pub(crate) fn insert(&mut self, name: &str) {
        if let Some(since) = self.names.get_mut(name) {
            if self.lasting.is_some() {
                *since = Instant::now();
            }
            return;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone(), Instant::now());
        self.order.push_back(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn names_are_remembered_for_their_time() {
        let mut recent = Recent::new(9, Some(Duration::from_secs(60)));
        recent.insert("reply_a");
        assert!(recent.contains("reply_a") && !recent.contains("reply_b"));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!recent.contains("reply_a"));
        recent.insert("reply_a");
        assert!(recent.contains("reply_a"));
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let mut recent = Recent::new(200, None);
        (0..1000).for_each(|number| recent.insert(&format!("reply_{number}")));
        assert_eq!((recent.names.len(), recent.order.len()), (200, 200));
        assert!(recent.contains("reply_800") && !recent.contains("reply_799"));
    }
}
