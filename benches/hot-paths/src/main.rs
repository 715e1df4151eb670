//! Counts the instructions of the pure code paths of a call: encoding and decoding a request and a reply, and waiting for one.
//! Unlike times, counts do not depend on the load of the machine.
//!
//!     cargo run --release -p oxlo-hot-paths -- check      fails if a path exceeds its baseline
//!     cargo run --release -p oxlo-hot-paths -- renew      writes the baseline

mod baseline;
mod callgrind;
mod paths;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use baseline::Baseline;
use paths::Path;

const USAGE: &str = "usage: oxlo-hot-paths check|renew [--baseline FILE] [--only PATH] [--doubled]";

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().context(USAGE)?;
    if command == callgrind::RUN {
        let path = arguments.next().and_then(|name| Path::named(&name)).context(USAGE)?;
        let times = arguments.next().context(USAGE)?.parse()?;
        path.run(times)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json"));
    let (mut paths, mut doubled) = (Path::ALL.to_vec(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--baseline" => file = arguments.next().context(USAGE)?.into(),
            "--only" => paths = vec![arguments.next().and_then(|name| Path::named(&name)).context(USAGE)?],
            // For the test of the check itself: all work is done twice and counted once.
            "--doubled" => doubled = true,
            _ => bail!(USAGE),
        }
    }
    let counted = Baseline::count(&paths, doubled)?;
    match command.as_str() {
        "renew" => {
            counted.write(&file)?;
            println!("{counted}written to {}", file.display());
            Ok(ExitCode::SUCCESS)
        }
        "check" => {
            let baseline = Baseline::read(&file)?;
            let verdicts = baseline.judge(&counted);
            println!("{}", baseline.introduction(&counted));
            for (name, verdict) in &verdicts {
                println!("{name:<16} {verdict}");
            }
            if verdicts.iter().all(|(_, verdict)| verdict.passes()) {
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!(
                "A path takes more instructions than it did. If that is what it is worth, renew the baseline and say why \
                 in the commit:\n  cargo run --release -p oxlo-hot-paths -- renew"
            );
            Ok(ExitCode::FAILURE)
        }
        _ => bail!(USAGE),
    }
}
