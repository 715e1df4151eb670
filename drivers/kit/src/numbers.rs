//! Numbers in place of names, and tables by them.
//!
//! What is looked up for every message is named by 128 bits that no peer can choose: random ones, or a hash under keys of
//! this process. Such a number is its own hash.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
};

/// A table by numbers that no peer can choose, else one who does could make it slow.
pub type Numbered<V> = HashMap<u128, V, BuildHasherDefault<Folding>>;

/// Makes numbers of names: 128 bits under keys of its own, so that different names have different numbers, and nobody
/// outside of the process can tell which.
#[derive(Clone, Debug, Default)]
pub struct Numbers([RandomState; 2]);

impl Numbers {
    /// The number of a name, which may have several parts.
    #[must_use]
    pub fn of(&self, name: impl Hash) -> u128 {
        let [high, low] = self.0.each_ref().map(|key| u128::from(key.hash_one(&name)));
        high << 64 | low
    }
}

/// Hashes a number by folding it in half.
#[derive(Debug, Default)]
pub struct Folding(u64);

impl Hasher for Folding {
    fn write_u128(&mut self, number: u128) {
        self.0 ^= (number ^ (number >> 64)) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_shares_it_with_no_other() {
        let numbers = Numbers::default();
        let names = [("queue", "a"), ("queue", "b"), ("queuea", ""), ("", "queuea"), ("q", "ueuea")];
        for (place, name) in names.iter().enumerate() {
            for (other, another) in names.iter().enumerate() {
                assert_eq!(numbers.of(name) == numbers.of(another), place == other, "{name:?} {another:?}");
            }
        }
        assert_ne!(numbers.of("a"), Numbers::default().of("a"), "its keys are its own");
    }

    #[test]
    fn both_halves_of_a_number_count() {
        let hash = |number: u128| BuildHasherDefault::<Folding>::default().hash_one(number);
        assert_eq!(hash(1), 1);
        assert_eq!(hash(1 << 64), 1);
        assert_ne!(hash(3), hash(1));
    }
}
