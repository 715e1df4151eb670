//! The grammar of INI files, as in the module `oslo_config.iniparser`.

/// One assignment, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) section: String,
    pub(super) option: String,
    pub(super) value: String,
    /// Line of the option's name, from 1.
    pub(super) line: usize,
}

/// A line with invalid syntax. The line is never quoted: it may contain a password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) reason: &'static str,
}

/// Parses all assignments.
///
/// A comment is a line of its own. A value continues on indented lines, up to a blank line or a comment. Quotes around the
/// whole first line of a value are removed. The first `=` or `:` ends the name.
pub(super) fn read(text: &str) -> Result<Vec<Assignment>, SyntaxError> {
    let mut assignments: Vec<Assignment> = Vec::new();
    let mut section: Option<&str> = None;
    // Whether an indented line continues the last assignment.
    let mut open = false;
    for (line, content) in (1..).zip(lines(text)) {
        let refused = |reason| Err(SyntaxError { line, reason });
        let content = content.trim_end_matches(is_space);
        if content.starts_with([' ', '\t']) {
            let Some(last) = assignments.last_mut().filter(|_| open) else {
                return refused("unexpected indentation: there is no value to continue");
            };
            last.value.push('\n');
            last.value.push_str(content.trim_start_matches(is_space));
            continue;
        }
        open = false;
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            match header.strip_suffix(']') {
                Some("") => return refused("the section name is empty"),
                Some(name) => section = Some(name),
                None => return refused("a section must end with `]`, followed by nothing"),
            }
            continue;
        }
        let Some((option, value)) = content.split_once(['=', ':']) else {
            return refused("missing `=` or `:`");
        };
        let option = option.trim_matches(is_space);
        if option.is_empty() {
            return refused("the option name before `=` or `:` is empty");
        }
        let Some(section) = section else {
            return refused("the option precedes the first section; move it to [DEFAULT]");
        };
        let value = unquoted(value.trim_matches(is_space)).to_owned();
        assignments.push(Assignment { section: section.to_owned(), option: option.to_owned(), value, line });
        open = true;
    }
    Ok(assignments)
}

/// Splits lines at `\n`, `\r\n` or `\r`, as Python does for text files.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The characters that Python's `str.strip` removes.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Removes a pair of quotes. A single quote as the whole value counts as a pair.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return if rest.is_empty() { rest } else { rest.strip_suffix(quote).unwrap_or(value) };
        }
    }
    value
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_invalid_line_is_reported_and_not_quoted() {
        for (text, line) in [
            ("[DEFAULT]\na = 1\n\n  hunter2\n", 4),
            ("[DEFAULT]\na = 1\n# a comment ends a value\n  hunter2\n", 4),
            ("  hunter2\n", 1),
            ("[DEFAULT]\r\nhunter2\r\n", 2),
            ("[DEFAULT]\n= hunter2\n", 2),
            ("[DEFAULT] hunter2\n", 1),
            ("\n[]\n", 2),
            ("password = hunter2\n", 1),
        ] {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.line, line, "{text:?}");
            assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_at_one_of_its_lines(text in "([a$={}:'\"\\[\\]#; \t\r\n]|\\PC){0,60}") {
            match read(&text) {
                Ok(all) => prop_assert!(all.is_sorted_by(|a, b| a.line < b.line)),
                Err(refused) => prop_assert!(refused.line <= lines(&text).count()),
            }
        }
    }
}
