//! Reads the rules file.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use strsim::jaro_winkler;

use super::{RoutingProblem, depth, pattern::Pattern};

/// YAML's merge key, which Python's reader understands.
const MERGE: &str = "<<";

/// What a driver accepts in one group.
#[derive(Debug)]
struct Rule {
    driver: String,
    /// `None`: everything.
    events: Option<Vec<Pattern>>,
    /// `None`: every priority.
    priorities: Option<Vec<Pattern>>,
}

#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn accepts(&self, driver: &str, event_type: &str, priority: &str) -> bool {
        let any = |patterns: &Option<Vec<Pattern>>, text| {
            patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(text)))
        };
        self.0
            .iter()
            .filter(|rule| rule.driver == driver)
            .any(|rule| any(&rule.events, event_type) && any(&rule.priorities, priority))
    }

    pub(super) fn names(&self, driver: &str) -> bool {
        self.0.iter().any(|rule| rule.driver == driver)
    }
}

/// Reads rules that may name these drivers.
///
/// # Errors
///
/// All problems, from the top of the file.
pub(super) fn read(text: &str, drivers: &[&str]) -> Result<Rules, Vec<RoutingProblem>> {
    let mut reader = Reader { drivers, problems: Vec::new(), rules: Vec::new() };
    if let Some(at) = depth::exceeds(text) {
        let (levels, values) = (depth::DEEPEST, depth::MOST);
        reader.problem(
            at.line(),
            at.col() + 1,
            format!("nested deeper than {levels} levels, or more than {values} values"),
        );
        return Err(reader.problems);
    }
    match MarkedYaml::load_from_str(text) {
        Err(error) => {
            let at = error.marker();
            reader.problem(at.line(), at.col() + 1, format!("invalid YAML: {}", error.info()));
        }
        Ok(documents) => match documents.as_slice() {
            [] => {}
            [document] => reader.groups(document),
            [_, second, ..] => reader.at(second, "the file has a second document; only one is allowed"),
        },
    }
    if reader.problems.is_empty() { Ok(Rules(reader.rules)) } else { Err(reader.problems) }
}

struct Reader<'a> {
    drivers: &'a [&'a str],
    problems: Vec<RoutingProblem>,
    rules: Vec<Rule>,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, column: usize, what: String) {
        self.problems.push(RoutingProblem { line, column, what });
    }

    fn at(&mut self, node: &MarkedYaml<'_>, what: impl Into<String>) {
        let start = node.span.start;
        self.problem(start.line(), start.col() + 1, what.into());
    }

    /// The members of a mapping. Null is an empty mapping.
    fn members<'n, 'y>(
        &mut self,
        node: &'n MarkedYaml<'y>,
        what: &str,
    ) -> Vec<(String, &'n MarkedYaml<'y>, &'n MarkedYaml<'y>)> {
        let mapping = match &node.data {
            YamlData::Mapping(mapping) => mapping,
            YamlData::Value(Scalar::Null) => return Vec::new(),
            _ => {
                self.at(node, format!("{what} must be a mapping"));
                return Vec::new();
            }
        };
        let mut members: Vec<(String, &MarkedYaml<'_>, &MarkedYaml<'_>)> = Vec::new();
        let mut merged = Vec::new();
        for (key, value) in mapping {
            match text(key) {
                Some(name) if name == MERGE => merged.extend(self.merged(value, what)),
                Some(name) => members.push((name, key, value)),
                None => self.at(key, "the name must be a string"),
            }
        }
        // Explicit members take precedence, then those of the first merged mapping.
        for member in merged {
            if members.iter().all(|(name, ..)| *name != member.0) {
                members.push(member);
            }
        }
        members
    }

    /// The members of a merge key: those of one mapping, or of each mapping in a list.
    fn merged<'n, 'y>(
        &mut self,
        source: &'n MarkedYaml<'y>,
        what: &str,
    ) -> Vec<(String, &'n MarkedYaml<'y>, &'n MarkedYaml<'y>)> {
        match &source.data {
            YamlData::Mapping(_) => self.members(source, what),
            YamlData::Sequence(sources) if sources.iter().all(|source| source.data.is_mapping()) => {
                sources.iter().flat_map(|source| self.members(source, what)).collect()
            }
            _ => {
                self.at(
                    source,
                    format!("`{MERGE}` merges a mapping or a list of mappings into {what}; this is neither"),
                );
                Vec::new()
            }
        }
    }

    fn groups(&mut self, document: &MarkedYaml<'_>) {
        for (group, _, drivers) in self.members(document, "the file") {
            for (name, key, accepts) in self.members(drivers, &format!("group `{group}`")) {
                if !self.drivers.contains(&name.as_str()) {
                    let hint = similar(&name, self.drivers);
                    self.at(key, format!("the notifier has no driver `{name}`; {hint}"));
                }
                self.rule(name, accepts);
            }
        }
    }

    fn rule(&mut self, driver: String, accepts: &MarkedYaml<'_>) {
        let mut rule = Rule { events: None, priorities: None, driver };
        let what = format!("what driver `{}` accepts", rule.driver);
        for (name, key, list) in self.members(accepts, &what) {
            match name.as_str() {
                "accepted_events" => rule.events = Some(self.patterns(list, |pattern| pattern)),
                "accepted_priorities" => {
                    rule.priorities = Some(self.patterns(list, |pattern| pattern.to_lowercase()));
                }
                _ => {
                    let hint = similar(&name, &["accepted_events", "accepted_priorities"]);
                    self.at(key, format!("unknown option `{name}`; {hint}"));
                }
            }
        }
        self.rules.push(rule);
    }

    fn patterns(&mut self, list: &MarkedYaml<'_>, spelled: impl Fn(String) -> String) -> Vec<Pattern> {
        let YamlData::Sequence(elements) = &list.data else {
            self.at(list, "expected a list of patterns, such as [\"compute.*\"]");
            return Vec::new();
        };
        let mut patterns = Vec::new();
        for element in elements {
            match text(element).map(|pattern| Pattern::new(&spelled(pattern))) {
                Some(Ok(pattern)) => patterns.push(pattern),
                Some(Err(wrong)) => self.at(element, format!("invalid pattern: {wrong}")),
                None => self.at(element, "a pattern must be a string; quote it"),
            }
        }
        patterns
    }
}

fn text(node: &MarkedYaml<'_>) -> Option<String> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

fn similar(name: &str, known: &[&str]) -> String {
    let best = known.iter().max_by(|a, b| jaro_winkler(name, a).total_cmp(&jaro_winkler(name, b)));
    match best {
        Some(best) if jaro_winkler(name, best) > 0.8 => format!("did you mean `{best}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["messaging", "messagingv2", "log"];

    fn problems(text: &str) -> Vec<String> {
        let problems = read(text, &KNOWN).unwrap_err();
        problems.into_iter().map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.what)).collect()
    }

    #[test]
    fn both_lists_must_match_and_a_missing_one_always_does() {
        let rules = read(
            "one:\n  log:\n    accepted_events: ['compute.*']\n    accepted_priorities: [INFO, err*]\n\
             two:\n  messaging:\n    accepted_priorities: [error]\n  messagingv2:\n",
            &KNOWN,
        )
        .unwrap();
        for (driver, event, priority, wanted) in [
            ("log", "compute.x", "info", true),
            ("log", "compute.x", "error", true),
            ("log", "compute.x", "warn", false),
            ("log", "network.x", "info", false),
            ("messaging", "network.x", "error", true),
            ("messaging", "network.x", "info", false),
            ("messagingv2", "anything", "sample", true),
            ("other", "anything", "info", false),
        ] {
            assert_eq!(rules.accepts(driver, event, priority), wanted, "{driver} {event} {priority}");
        }
    }

    #[test]
    fn a_file_that_is_nested_too_deeply_is_refused_before_it_is_read() {
        let deep: String = (0..8_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert_eq!(problems(&deep), ["33:33 nested deeper than 32 levels, or more than 100000 values"]);
    }

    #[test]
    fn groups_that_name_the_same_driver_accept_together() {
        let rules = read("a: {log: {accepted_events: [a]}}\nb: {log: {accepted_events: [b]}}", &KNOWN).unwrap();
        assert!(rules.accepts("log", "a", "info") && rules.accepts("log", "b", "info"));
        assert!(!rules.accepts("log", "c", "info"));
    }

    #[test]
    fn merge_keys_bring_in_what_is_not_written_out() {
        let rules = read(
            "a: &a\n  log: &log {accepted_events: ['compute.*'], accepted_priorities: [info]}\n\
             b:\n  messaging: {<<: *log, accepted_priorities: [error]}\n\
             c:\n  <<: [*a, {messagingv2: }]\n",
            &KNOWN,
        )
        .unwrap();
        for (driver, event, priority, wanted) in [
            ("log", "compute.x", "info", true),
            ("messaging", "compute.x", "error", true),
            ("messaging", "compute.x", "info", false),
            ("messaging", "network.x", "error", false),
            ("messagingv2", "anything", "info", true),
        ] {
            assert_eq!(rules.accepts(driver, event, priority), wanted, "{driver} {event} {priority}");
        }
        assert_eq!(
            problems("a:\n  <<: log\n"),
            ["2:7 `<<` merges a mapping or a list of mappings into group `a`; this is neither"]
        );
    }

    #[test]
    fn an_empty_file_routes_nothing() {
        for text in ["", "# nothing\n", "group:\n"] {
            assert!(!read(text, &KNOWN).unwrap().names("log"), "{text:?}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_listed_with_its_place() {
        let text = "group:\n  mesaging:\n    accepted_event: [a]\n  log:\n    accepted_events: compute\n    \
                    accepted_priorities: [1, '[z-a]']\nother: 3\n";
        assert_eq!(
            problems(text),
            [
                "2:3 the notifier has no driver `mesaging`; did you mean `messaging`?",
                "3:5 unknown option `accepted_event`; did you mean `accepted_events`?",
                "5:22 expected a list of patterns, such as [\"compute.*\"]",
                "6:27 a pattern must be a string; quote it",
                "6:30 invalid pattern: a range is reversed",
                "7:8 group `other` must be a mapping",
            ]
        );
    }

    #[test]
    fn invalid_yaml_is_reported_with_its_position() {
        let found = problems("group:\n  log: [unclosed\nx: y\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("3:") && found[0].contains("invalid YAML"), "{found:?}");
        let twice = problems("a:\n  log:\na:\n  log:\n");
        assert!(twice[0].contains("uplicate"), "{twice:?}");
    }
}
