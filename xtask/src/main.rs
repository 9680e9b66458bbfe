//! Everything a person types that is not the product.
//!
//! `cargo xtask test` is the whole of what has to be true before a change is good; it fetches or
//! builds what it needs (the test world: `setup`), runs every check as a timed stage (`stages`)
//! and ends with a summary in which nothing is missing: what was skipped is counted and says why.
//!
//! Absent on purpose: a library of command-line parsing, a logger, a configuration. This crate is
//! compiled first, on the slowest machine, by someone who waits.

mod arguments;
mod bench;
mod command;
mod setup;
mod stages;
mod stopwatch;
mod summary;
mod torture;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::Task;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    match arguments::parse(std::env::args().skip(1))? {
        Task::Help => {
            println!("{}", arguments::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Task::Setup => {
            let (_world, summary) = setup::everything()?;
            Ok(summary.close())
        }
        Task::Test(selection) => stages::run(&selection),
        Task::Torture { rounds } => torture::run(rounds),
        Task::Bench(plan) => bench::run(&plan),
    }
}
