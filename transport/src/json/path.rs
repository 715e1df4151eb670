//! Where in a JSON value something is: `disks[3].size`.

use std::fmt::{self, Write};

/// One step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the member of an object.
    Key(String),
    /// To the element of an array.
    Index(usize),
}

/// The way from the whole value to the place, collected from the inside out as an error passes through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    innermost_first: Vec<Step>,
}

/// So many steps are shown; a peer decides how deep a value is nested.
const SHOWN_STEPS: usize = 24;

/// So many characters of a key are shown.
const SHOWN_KEY: usize = 60;

impl Path {
    pub(crate) fn push_outer(&mut self, step: Step) {
        self.innermost_first.push(step);
    }

    /// The text of the path to something within.
    pub(crate) fn with(&self, inner: &Step) -> String {
        let mut text = self.to_string();
        // Writing to a string does not fail.
        let _ = write_step(&mut text, inner, self.innermost_first.is_empty());
        text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.innermost_first.iter().rev().enumerate() {
            if at == SHOWN_STEPS {
                return f.write_str("..");
            }
            write_step(f, step, at == 0)?;
        }
        Ok(())
    }
}

/// A key that is a plain name follows a dot; any other is quoted in brackets, control characters escaped.
fn write_step(f: &mut impl Write, step: &Step, first: bool) -> fmt::Result {
    match step {
        Step::Index(index) => write!(f, "[{index}]"),
        Step::Key(key) if is_plain(key) => write!(f, "{}{key}", if first { "" } else { "." }),
        Step::Key(key) => write!(f, "[{:?}]", key.chars().take(SHOWN_KEY).collect::<String>()),
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= SHOWN_KEY
        && key.chars().all(|character| character.is_alphanumeric() || "_-$:@/".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: &[Step]) -> Path {
        Path { innermost_first: steps.iter().rev().cloned().collect() }
    }

    fn key(name: &str) -> Step {
        Step::Key(name.into())
    }

    #[test]
    fn steps_are_written_as_one_would_index() {
        let cases: [(&[Step], &str); 6] = [
            (&[], ""),
            (&[key("a")], "a"),
            (&[Step::Index(2)], "[2]"),
            (&[key("disks"), Step::Index(3), key("size")], "disks[3].size"),
            (&[key("a b"), key("c\n")], "[\"a b\"][\"c\\n\"]"),
            (&[key("")], "[\"\"]"),
        ];
        for (steps, text) in cases {
            assert_eq!(path(steps).to_string(), text);
        }
        assert_eq!(path(&[key("a")]).with(&key("b")), "a.b");
        assert_eq!(path(&[]).with(&key("b")), "b");
    }

    #[test]
    fn what_a_peer_makes_long_is_cut() {
        let deep = path(&vec![key("a"); 500]).to_string();
        assert_eq!(deep.len(), SHOWN_STEPS * 2 - 1 + 2);
        let long = path(&[key(&"k".repeat(500))]).to_string();
        assert_eq!(long.len(), SHOWN_KEY + 4);
    }
}
