//! The command line, read by hand: three tasks and three options do not earn a dependency.

use anyhow::{Result, bail};

use crate::bench;

pub const HELP: &str = "\
Usage: cargo xtask TASK

  test [--fast] [--only STAGE]...   set up the test world, then run every check
                                    --fast: without the test world and the stories that need it
                                    --only: just this stage (repeatable); its set-up is included
  setup                             only set up the test world (control plane, Prometheus)
  torture [--rounds N]              the crash stories, N random points (default 200)
  bench [--quick] [--profile P]     measure, and write docs/performance.md (minutes; wants a quiet machine)
                                    --quick: small sizes, written to target/performance.md
                                    --profile: another one than release, likewise

Stages: fmt clippy docs unit doctests, one for each file of tests/, deny advisories rules";

/// The default of `torture`: enough for every step of a rollback to be hit many times.
const TORTURE_ROUNDS: u32 = 200;

#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    Help,
    Setup,
    Test(Selection),
    Torture { rounds: u32 },
    Bench(bench::Plan),
}

/// Which stages of `test` were asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Leave out whatever needs the test world.
    pub fast: bool,
    /// Only these; empty means all.
    pub only: Vec<String>,
}

impl Selection {
    pub fn wants(&self, stage: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == stage)
    }
}

pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Task> {
    let Some(task) = arguments.next() else {
        return Ok(Task::Help);
    };
    match task.as_str() {
        "help" | "-h" | "--help" => Ok(Task::Help),
        "setup" => nothing_more(arguments).map(|()| Task::Setup),
        "test" => parse_test(arguments),
        "torture" => parse_torture(arguments),
        "bench" => parse_bench(arguments),
        other => bail!("unknown task `{other}`\n\n{HELP}"),
    }
}

fn parse_test(mut arguments: impl Iterator<Item = String>) -> Result<Task> {
    let mut selection = Selection::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(Task::Help),
            "--fast" => selection.fast = true,
            "--only" => match arguments.next() {
                Some(stage) => selection.only.push(stage),
                None => bail!("--only needs the name of a stage"),
            },
            other => bail!("unknown option `{other}` of test\n\n{HELP}"),
        }
    }
    Ok(Task::Test(selection))
}

fn parse_torture(mut arguments: impl Iterator<Item = String>) -> Result<Task> {
    let mut rounds = TORTURE_ROUNDS;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(Task::Help),
            "--rounds" => match arguments.next().map(|value| value.parse()) {
                Some(Ok(value)) if value > 0 => rounds = value,
                _ => bail!("--rounds needs a number above zero"),
            },
            other => bail!("unknown option `{other}` of torture\n\n{HELP}"),
        }
    }
    Ok(Task::Torture { rounds })
}

fn parse_bench(mut arguments: impl Iterator<Item = String>) -> Result<Task> {
    let mut plan = bench::Plan {
        quick: false,
        profile: "release".to_owned(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(Task::Help),
            "--quick" => plan.quick = true,
            "--profile" => match arguments.next() {
                Some(profile) => plan.profile = profile,
                None => bail!("--profile needs a name"),
            },
            other => bail!("unknown option `{other}` of bench\n\n{HELP}"),
        }
    }
    Ok(Task::Bench(plan))
}

fn nothing_more(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    match arguments.next() {
        None => Ok(()),
        Some(extra) => bail!("unexpected `{extra}`\n\n{HELP}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_bare_call_explains_itself() {
        assert_eq!(parsed("").unwrap(), Task::Help);
    }

    #[test]
    fn only_may_be_repeated_and_selects() {
        let Task::Test(selection) = parsed("test --fast --only fmt --only unit").unwrap() else {
            panic!("not a test task");
        };
        assert!(selection.fast);
        assert!(selection.wants("unit"));
        assert!(!selection.wants("clippy"));
    }

    #[test]
    fn misspelt_options_and_missing_values_are_refused() {
        for line in [
            "test --fats",
            "test --only",
            "torture --rounds 0",
            "setup now",
            "bench --slow",
            "bench --profile",
            "tset",
        ] {
            assert!(parsed(line).is_err(), "{line} was accepted");
        }
    }

    #[test]
    fn figures_to_quote_are_those_of_the_release() {
        let plan = |quick, profile: &str| {
            let profile = profile.to_owned();
            Task::Bench(bench::Plan { quick, profile })
        };
        assert_eq!(parsed("bench").unwrap(), plan(false, "release"));
        assert_eq!(
            parsed("bench --quick --profile dev").unwrap(),
            plan(true, "dev")
        );
    }

    #[test]
    fn torture_has_a_default() {
        assert_eq!(
            parsed("torture").unwrap(),
            Task::Torture {
                rounds: TORTURE_ROUNDS
            }
        );
        assert_eq!(
            parsed("torture --rounds 7").unwrap(),
            Task::Torture { rounds: 7 }
        );
    }
}
