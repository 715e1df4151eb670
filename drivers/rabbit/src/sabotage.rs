//! Breaks parts of the driver on purpose, to test that the history checker of the fault tests notices.
//!
//! Only tests enable the feature `__sabotage`, and even then a part is broken only if the environment variable
//! `OXLO_SABOTAGE` names it.

/// Whether to break this part.
#[cfg(feature = "__sabotage")]
pub(crate) fn breaks(part: &str) -> bool {
    static BROKEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("OXLO_SABOTAGE").ok()).as_deref() == Some(part)
}

/// Whether to break this part: never.
#[cfg(not(feature = "__sabotage"))]
pub(crate) const fn breaks(_: &str) -> bool {
    false
}
