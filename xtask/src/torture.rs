//! The crash stories, many times over: kill -9 at random points between a breach and a verified rollback.

use std::process::ExitCode;

use anyhow::Result;

use crate::command::cargo;
use crate::setup;
use crate::stages::run_tests;

/// The stories that read `HOLDFAST_TORTURE_ROUNDS` live in this module of `tests/stories`.
const FILTER: &str = "crash::";

pub fn run(rounds: u32) -> Result<ExitCode> {
    let (world, mut summary) = setup::everything()?;
    if summary.failed() > 0 {
        return Ok(summary.close());
    }
    summary.stage("torture", || {
        let mut command = cargo(&["test", "--package", "holdfast", "--test", "stories"]);
        command.args([FILTER, "--", "--nocapture", "--test-threads=1"]);
        command.env("HOLDFAST_TORTURE_ROUNDS", rounds.to_string());
        world.export(&mut command);
        run_tests(&mut command)
    });
    Ok(summary.close())
}
