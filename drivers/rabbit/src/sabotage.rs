//! Breaks the driver on purpose, to show that the history checker of the fault tests notices.
//!
//! Only tests switch the feature `__sabotage` on, and even then nothing is broken unless the variable `OXLO_SABOTAGE`
//! names it.

/// Whether this part is to be broken.
#[cfg(feature = "__sabotage")]
pub(crate) fn breaks(part: &str) -> bool {
    static BROKEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("OXLO_SABOTAGE").ok()).as_deref() == Some(part)
}

/// Whether this part is to be broken: never.
#[cfg(not(feature = "__sabotage"))]
pub(crate) const fn breaks(_: &str) -> bool {
    false
}
