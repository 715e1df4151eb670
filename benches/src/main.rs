//! Benchmarks of oxlo and its peers: `cargo run --release -p oxlo-bench -- compare`.

mod brokers;
mod compare;
mod goals;
mod growth;
mod measure;
mod pair;
mod peers;
mod process;
mod report;
mod scenario;
mod turns;
mod worker;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Benchmarks oxlo and its peers in one run on dedicated brokers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs every scenario with every peer in turn, several rounds, and prints medians and ratios.
    Compare(compare::Options),
    /// Measures how the cost of a call grows with load, and memory use.
    Growth(growth::Options),
    /// Holds objects and reports their memory use; started by `growth`.
    #[command(hide = true)]
    Footprint(growth::FootprintOptions),
    /// One end of a scenario; started by the other commands.
    #[command(hide = true)]
    Worker(worker::Options),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match Arguments::parse().command {
        Command::Compare(options) => runtime.block_on(compare::run(&options)),
        Command::Growth(options) => runtime.block_on(growth::run(&options)),
        Command::Footprint(options) => runtime.block_on(growth::footprint(&options)),
        Command::Worker(options) => runtime.block_on(worker::run(&options)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
