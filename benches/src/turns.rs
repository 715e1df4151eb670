//! The order of turns, and the progress display.

use std::{fmt::Display, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::pair::Pair;

/// Displays the current turn and the estimated remaining time.
pub(crate) fn progress(turns: usize) -> anyhow::Result<ProgressBar> {
    let progress = ProgressBar::new(turns as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} (about {eta} left)")?);
    progress.enable_steady_tick(Duration::from_millis(250));
    Ok(progress)
}

/// Gives each pair a turn in every round. Each round starts with another pair, so that the order has no effect.
pub(crate) async fn take(
    pairs: &mut [(impl Display, Pair)],
    rounds: usize,
    title: &str,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    for round in 0..rounds {
        let first = round % pairs.len().max(1);
        let (early, late) = pairs.split_at_mut(first);
        for (name, pair) in late.iter_mut().chain(early) {
            progress.set_message(format!("{title}: {name}"));
            pair.turn().await?;
            progress.inc(1);
        }
    }
    Ok(())
}
