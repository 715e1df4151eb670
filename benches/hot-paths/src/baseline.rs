//! The instruction counts of the baseline, and the allowed deviation.

use std::{collections::BTreeMap, fmt, path::Path as File};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{callgrind, paths::Path};

/// The allowed ratio to the baseline, if the same compiler made both.
const SAME_COMPILER: f64 = 1.10;
/// The allowed ratio if another compiler version made the baseline.
const OTHER_COMPILER: f64 = 1.30;
/// Below this ratio the baseline should be renewed, so that the improvement is kept.
const WORTH_RENEWING: f64 = 0.90;

/// Counts, with the compiler and processor they were made with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    rustc: String,
    target: String,
    counts: BTreeMap<String, f64>,
}

/// The result for a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    Within {
        count: f64,
        share: f64,
    },
    Less {
        count: f64,
        share: f64,
    },
    More {
        count: f64,
        share: f64,
        limit: f64,
    },
    /// The path has no baseline.
    Unknown {
        count: f64,
    },
    /// The baseline was made on another processor.
    Elsewhere {
        count: f64,
    },
}

impl Verdict {
    pub(crate) fn passes(self) -> bool {
        !matches!(self, Self::More { .. } | Self::Unknown { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within { count, share } => write!(f, "{count:>8.0} instructions, {share:.3} x the baseline"),
            Self::Less { count, share } => {
                write!(f, "{count:>8.0} instructions, {share:.3} x the baseline: renew it, to keep what was won")
            }
            Self::More { count, share, limit } => {
                write!(
                    f,
                    "{count:>8.0} instructions, {share:.3} x the baseline, at most {limit} x is allowed: TOO MANY"
                )
            }
            Self::Unknown { count } => write!(f, "{count:>8.0} instructions, and no baseline: renew it"),
            Self::Elsewhere { count } => write!(f, "{count:>8.0} instructions, not compared"),
        }
    }
}

impl Baseline {
    /// Counts the instructions of this build.
    pub(crate) fn count(paths: &[Path], doubled: bool) -> anyhow::Result<Self> {
        let counted = |path: &Path| Ok((path.name().to_owned(), callgrind::count(*path, doubled)?.round()));
        Ok(Self {
            rustc: env!("OXLO_RUSTC").to_owned(),
            target: std::env::consts::ARCH.to_owned(),
            counts: paths.iter().map(counted).collect::<anyhow::Result<_>>()?,
        })
    }

    pub(crate) fn read(file: &File) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let read: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
        let text = |key: &str| read[key].as_str().map(str::to_owned).with_context(|| format!("no `{key}`"));
        let counts = read["instructions"].as_object().context("no `instructions`")?;
        let counts: BTreeMap<String, f64> =
            counts.iter().filter_map(|(name, count)| Some((name.clone(), count.as_f64()?))).collect();
        ensure!(counts.values().all(|count| *count > 0.0), "{} has a count that is not positive", file.display());
        Ok(Self { rustc: text("rustc")?, target: text("target")?, counts })
    }

    pub(crate) fn write(&self, file: &File) -> anyhow::Result<()> {
        let counts: BTreeMap<&String, u64> = self.counts.iter().map(|(name, count)| (name, *count as u64)).collect();
        let text = json!({"rustc": self.rustc, "target": self.target, "instructions": counts});
        std::fs::write(file, format!("{text:#}\n")).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Describes how `counted` is compared with this baseline.
    pub(crate) fn introduction(&self, counted: &Self) -> String {
        if self.target != counted.target {
            return format!("The baseline is of {}, this is {}: counts are not compared.", self.target, counted.target);
        }
        if self.rustc != counted.rustc {
            return format!(
                "The baseline was made by `{}`, this by `{}`: {OTHER_COMPILER} x is allowed instead of {SAME_COMPILER} x.",
                self.rustc, counted.rustc
            );
        }
        format!("Compared with the baseline, made by the same compiler; {SAME_COMPILER} x is allowed.")
    }

    pub(crate) fn judge(&self, counted: &Self) -> Vec<(String, Verdict)> {
        let limit = if self.rustc == counted.rustc { SAME_COMPILER } else { OTHER_COMPILER };
        let verdict = |(name, &count): (&String, &f64)| {
            let verdict = match self.counts.get(name) {
                _ if self.target != counted.target => Verdict::Elsewhere { count },
                None => Verdict::Unknown { count },
                Some(before) => match count / before {
                    share if share > limit => Verdict::More { count, share, limit },
                    share if share < WORTH_RENEWING => Verdict::Less { count, share },
                    share => Verdict::Within { count, share },
                },
            };
            (name.clone(), verdict)
        };
        counted.counts.iter().map(verdict).collect()
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.counts {
            writeln!(f, "{name:<16} {count:>8.0} instructions")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rustc: &str, target: &str, count: f64) -> Baseline {
        let counts = BTreeMap::from([("path".to_owned(), count)]);
        Baseline { rustc: rustc.to_owned(), target: target.to_owned(), counts }
    }

    fn passes(rustc: &str, target: &str, count: f64) -> bool {
        let baseline = counted("1", "x86_64", 1000.0);
        baseline.judge(&counted(rustc, target, count)).iter().all(|(_, verdict)| verdict.passes())
    }

    #[test]
    fn a_tenth_more_is_allowed_and_no_further() {
        assert!(passes("1", "x86_64", 500.0) && passes("1", "x86_64", 1100.0));
        assert!(!passes("1", "x86_64", 1101.0));
    }

    #[test]
    fn another_compiler_has_more_room() {
        assert!(passes("2", "x86_64", 1299.0) && !passes("2", "x86_64", 1301.0));
    }

    #[test]
    fn another_processor_is_not_compared() {
        assert!(passes("1", "aarch64", 9000.0));
    }

    #[test]
    fn a_path_without_a_baseline_does_not_pass() {
        let baseline = Baseline { counts: BTreeMap::new(), ..counted("1", "x86_64", 0.0) };
        assert!(!baseline.judge(&counted("1", "x86_64", 1.0)).iter().all(|(_, verdict)| verdict.passes()));
    }
}
