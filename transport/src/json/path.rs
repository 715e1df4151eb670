//! The path to a place in a JSON value: `disks[3].size`.

use std::fmt::{self, Write};

/// One step from a value to a nested one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the member of an object.
    Key(String),
    /// To the element of an array.
    Index(usize),
}

/// The path from the whole value to a place, collected from the inside out while an error propagates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    innermost_first: Vec<Step>,
}

/// The maximum number of steps shown; a peer chooses the nesting.
const SHOWN_STEPS: usize = 24;

/// The maximum number of characters of a key shown.
const SHOWN_KEY: usize = 60;

impl Path {
    pub(crate) fn push_outer(&mut self, step: Step) {
        self.innermost_first.push(step);
    }

    /// The text of the path with a further inner step.
    pub(crate) fn with(&self, inner: &Step) -> String {
        let mut text = self.to_string();
        // Writing to a `String` never fails.
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

/// Writes a plain key after a dot, and any other key quoted in brackets, with control characters escaped.
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
    fn long_paths_and_keys_are_truncated() {
        let deep = path(&vec![key("a"); 500]).to_string();
        assert_eq!(deep.len(), SHOWN_STEPS * 2 - 1 + 2);
        let long = path(&[key(&"k".repeat(500))]).to_string();
        assert_eq!(long.len(), SHOWN_KEY + 4);
    }
}
