//! Errors as one line of text, for states and logs.

use std::{error::Error, fmt::Write as _};

use oxlo_transport::text::one_line;

/// An error and all that caused it, outermost first, on one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc, time::Duration};

    use oxlo_transport::TransportError;

    use super::*;

    #[test]
    fn causes_follow_on_one_line() {
        let source = Arc::new(io::Error::other("NOT_ALLOWED\n  - no such\r\nthing\n"));
        let error = TransportError::Unreachable {
            broker: "mq:1".to_owned(),
            waited: Duration::from_secs(3),
            source: Some(source),
        };
        assert_eq!(chain(&error), "no connection to mq:1 within 3s: NOT_ALLOWED - no such thing");
    }
}
