//! `cargo xtask bench`: what Holdfast costs and how fast it is, measured on this machine, as a table.
//!
//! Every figure is taken from outside: CPU time and memory from the operating system's accounts of the
//! daemon's process, times from whoever waits. Targets and receivers are processes of their own
//! (`examples/`), so their CPU is not counted, and the bare loop of requests in the same run says what the
//! machine can do at best. The result goes to `docs/performance.md`.

mod daemon;
mod figures;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command::{cargo, output, root, run as run_command, shown};
use crate::stopwatch::Stopwatch;

use self::figures::Measured;

/// How `bench` was called.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// A tenth of everything: to see that it runs, not to quote.
    pub quick: bool,
    /// The cargo profile to build with.
    pub profile: String,
}

/// How much of everything is measured.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Requests of the bare loop.
    pub asked: u32,
    /// Probes @1 s of the throughput run.
    pub fast_probes: u32,
    /// Seconds that a running daemon is watched for.
    pub watched_seconds: u64,
    /// Probes @30 s of the run at rest.
    pub slow_probes: u32,
    /// Failures that are told.
    pub told: u32,
    /// Rollbacks.
    pub rollbacks: u32,
    /// Days of samples that are stored.
    pub days: u32,
}

/// The profile and where its binaries lie.
pub struct Build {
    profile: String,
    folder: PathBuf,
}

// === impl Plan ===

impl Plan {
    fn sizes(&self) -> Sizes {
        if self.quick {
            return Sizes {
                asked: 10_000,
                fast_probes: 500,
                watched_seconds: 10,
                slow_probes: 1_000,
                told: 10,
                rollbacks: 3,
                days: 1,
            };
        }
        Sizes {
            asked: 100_000,
            fast_probes: 2_000,
            watched_seconds: 60,
            slow_probes: 5_000,
            told: 100,
            rollbacks: 50,
            days: 30,
        }
    }
}

// === impl Build ===

impl Build {
    fn new(profile: &str) -> Result<Self> {
        let mut command = cargo(&[
            "build",
            "--bin",
            "holdfast",
            "--examples",
            "--profile",
            profile,
        ]);
        run_command(&mut command)?;
        let folder = if profile == "dev" { "debug" } else { profile };
        let target = std::env::var_os("CARGO_TARGET_DIR");
        let target = target.map_or_else(|| root().join("target"), PathBuf::from);
        Ok(Self {
            profile: profile.to_owned(),
            folder: target.join(folder),
        })
    }

    /// The daemon.
    fn holdfast(&self) -> PathBuf {
        self.folder.join("holdfast")
    }

    /// One of `examples/`.
    fn example(&self, name: &str) -> PathBuf {
        self.folder.join("examples").join(name)
    }

    /// Runs an example to its end and gives the lines `name value` that it prints.
    fn figures(&self, name: &str, arguments: &[&str]) -> Result<Measured> {
        let mut command = std::process::Command::new(self.example(name));
        command.args(arguments).current_dir(root());
        println!("$ {}", shown(&command));
        Ok(Measured::read(&output(&mut command)?))
    }

    /// Runs the benchmarks of a file whose names contain the filter, and gives what is printed.
    fn bench(&self, name: &str, filter: &str) -> Result<String> {
        let mut command = cargo(&["bench", "--package", "holdfast", "--bench", name]);
        if self.profile == "dev" {
            command.args(["--profile", "dev"]);
        }
        command.args(["--", filter]);
        println!("$ {}", shown(&command));
        output(&mut command)
    }
}

/// Measures everything and writes the table.
///
/// # Errors
/// If something cannot be built or started, or does not come to its end.
pub fn run(plan: &Plan) -> Result<ExitCode> {
    let watch = Stopwatch::start();
    let sizes = plan.sizes();
    let build = Build::new(&plan.profile)?;
    let rows = figures::all(&build, sizes)?;
    let text = table::document(&rows, plan, &table::machine());
    println!("\n{text}");
    let path = if plan.quick || plan.profile != "release" {
        root().join("target/performance.md")
    } else {
        root().join("docs/performance.md")
    };
    std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    let shown = path.strip_prefix(root()).unwrap_or(&path);
    println!("written to {} after {}", shown.display(), watch.elapsed());
    Ok(ExitCode::SUCCESS)
}
