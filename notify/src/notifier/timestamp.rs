//! Timestamps in the format of Python's `str(datetime)`.

use std::sync::Arc;

use time::OffsetDateTime;

/// The current time in UTC.
pub(crate) fn now() -> Arc<str> {
    format(OffsetDateTime::now_utc()).into()
}

/// `2026-11-20 22:16:02.906662`, without a fraction if there are no microseconds.
fn format(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let month = u8::from(month);
    let whole = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    match at.microsecond() {
        0 => whole,
        fraction => format!("{whole}.{fraction:06}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_python_writes() {
        let at = |nanoseconds| format(OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap());
        assert_eq!(at(1_795_212_962_906_662_000), "2026-11-20 22:16:02.906662");
        assert_eq!(at(1_795_212_962_000_000_999), "2026-11-20 22:16:02", "less than a microsecond is no fraction");
        assert_eq!(at(1_795_212_962_000_070_000), "2026-11-20 22:16:02.000070");
        assert_eq!(at(951_782_400_000_000_000), "2000-02-29 00:00:00");
    }
}
