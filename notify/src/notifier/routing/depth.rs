//! Bounds the depth and the size of a YAML text, aliases included: values are built, compared and dropped by recursion, and
//! an alias expands to the whole value of its anchor.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser};

/// The deepest nesting; a rules file has four levels.
pub(super) const DEEPEST: usize = 32;
/// The most values of a text, with aliases expanded.
pub(super) const MOST: usize = 100_000;

/// The size of an anchor's value.
#[derive(Clone, Copy, Default)]
struct Size {
    levels: usize,
    values: usize,
}

/// A list or mapping that is not closed.
struct Open {
    anchor: usize,
    /// The size of its contents so far.
    inside: Size,
}

/// The position where a text becomes too deep or too large, if it does. Invalid YAML is left to the reader.
pub(super) fn exceeds(text: &str) -> Option<Marker> {
    let mut open: Vec<Open> = Vec::new();
    let mut marked: HashMap<usize, Size> = HashMap::new();
    let mut all = 0_usize;
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return None };
        let (anchor, ended) = match event {
            Event::SequenceStart(anchor, ..) | Event::MappingStart(anchor, ..) => {
                open.push(Open { anchor, inside: Size::default() });
                if open.len() > DEEPEST {
                    return Some(span.start);
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, inside }) = open.pop() else { continue };
                (anchor, Size { levels: inside.levels + 1, values: inside.values.saturating_add(1) })
            }
            Event::Scalar(_, _, anchor, _) => (anchor, Size { levels: 0, values: 1 }),
            Event::Alias(anchor) => (0, marked.get(&anchor).copied().unwrap_or_default()),
            _ => continue,
        };
        if anchor > 0 {
            marked.insert(anchor, ended);
        }
        match open.last_mut() {
            Some(outer) => {
                outer.inside.levels = outer.inside.levels.max(ended.levels);
                outer.inside.values = outer.inside.values.saturating_add(ended.values);
            }
            None => all = all.saturating_add(ended.values),
        }
        let values = open.iter().fold(all, |values, open| values.saturating_add(open.inside.values));
        if open.len() + ended.levels > DEEPEST || values > MOST {
            return Some(span.start);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_however_it_is_written() {
        let fits = |text: &str| exceeds(text).is_none();
        for deep in [8_000, 33] {
            let blocks: String = (0..deep).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
            assert!(!fits(&format!("{blocks}{}b", " ".repeat(deep))));
            assert!(!fits(&format!("{}a", "- ".repeat(deep))));
        }
        assert!(!fits(&format!("{}{}", "[".repeat(40), "]".repeat(40))));
        assert!(fits(&format!("{}a", "- ".repeat(32))));
        assert!(fits("one:\n  log:\n    accepted_events: ['a', \"[b\"]\n"));
        assert!(fits("a: [") && fits(""), "invalid YAML is left to the reader");
    }

    #[test]
    fn an_alias_counts_as_what_it_stands_for() {
        let chain = |links: usize| {
            let mut text = "a0: &a0 [x]\n".to_owned();
            for link in 1..links {
                text += &format!("a{link}: &a{link} [*a{}]\n", link - 1);
            }
            text
        };
        assert!(exceeds(&chain(31)).is_none() && exceeds(&chain(40)).is_some());
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for link in 1..9 {
            laughs += &format!("a{link}: &a{link} [{}]\n", vec![format!("*a{}", link - 1); 10].join(", "));
        }
        assert!(exceeds(&laughs).is_some());
    }
}
