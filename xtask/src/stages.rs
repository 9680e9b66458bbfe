//! The stages of `cargo xtask test`: what has to be true before a change is good.
//!
//! Every stage runs, also after one has failed: a person wants all the news at once. Each file of
//! `tests/` is a stage of its own, found by looking, so that a new one cannot be forgotten here.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::arguments::Selection;
use crate::command::{cargo, find_program, output, root, run as run_command, run_watched};
use crate::setup::{self, World};
use crate::summary::{Outcome, Summary};

/// The files of `tests/` that need no test world and so run with `--fast` too.
const WORLDLESS: [&str; 1] = ["tidy"];

/// The stories wait for windows, bakes and cooldowns nearly all of their time: many go on at once,
/// whatever the number of cores.
const STORIES: &str = "stories";
const STORIES_AT_ONCE: &str = "10";
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// The stages that need promtool or the control plane, besides the files of `tests/`.
const RULES: &str = "rules";

pub fn run(selection: &Selection) -> Result<ExitCode> {
    let test_files = test_files(&root().join("tests"))?;
    check_names(selection, &test_files)?;
    let needs_world = |name: &str| name == RULES || is_story(name, &test_files);
    let all_names = names(&test_files);
    let wants_world = !selection.fast
        && all_names
            .iter()
            .any(|name| selection.wants(name) && needs_world(name));
    let (world, mut summary) = if wants_world {
        setup::everything()?
    } else {
        (setup::nothing(), Summary::new())
    };
    for name in all_names {
        if !selection.wants(&name) {
            continue;
        }
        summary.stage(&name, || {
            if selection.fast && needs_world(&name) {
                return Outcome::Skipped("--fast: it needs the test world".to_owned());
            }
            stage(&name, &world)
        });
    }
    Ok(summary.close())
}

fn names(test_files: &[String]) -> Vec<String> {
    let before = ["fmt", "clippy", "docs", "unit", "doctests"];
    let after = ["deny", "advisories", RULES];
    let owned = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    [owned(&before), test_files.to_vec(), owned(&after)].concat()
}

fn is_story(name: &str, test_files: &[String]) -> bool {
    test_files.iter().any(|file| file == name) && !WORLDLESS.contains(&name)
}

fn check_names(selection: &Selection, test_files: &[String]) -> Result<()> {
    let known = names(test_files);
    for name in &selection.only {
        if !known.contains(name) {
            bail!(
                "no stage is called `{name}`; there are: {}",
                known.join(" ")
            );
        }
    }
    Ok(())
}

fn stage(name: &str, world: &World) -> Outcome {
    match name {
        "fmt" => checked(&mut cargo(&["fmt", "--all", "--", "--check"])),
        "clippy" => {
            let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--quiet"]);
            checked(command.args(["--", "-D", "warnings"]))
        }
        "docs" => {
            let mut command = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
            command.arg("--document-private-items");
            checked(command.env("RUSTDOCFLAGS", "-D warnings"))
        }
        "unit" => run_tests(&mut cargo(&[
            "test",
            "--workspace",
            "--quiet",
            "--lib",
            "--bins",
        ])),
        "doctests" => run_doctests(),
        "deny" => deny(),
        "advisories" => advisories(),
        RULES => rules(world),
        file => {
            let mut command = cargo(&["test", "--package", "holdfast", "--test", file]);
            world.export(&mut command);
            if file == STORIES && std::env::var_os(TEST_THREADS).is_none() {
                command.env(TEST_THREADS, STORIES_AT_ONCE);
            }
            run_tests(&mut command)
        }
    }
}

fn checked(command: &mut Command) -> Outcome {
    match run_command(command) {
        Ok(()) => Outcome::Passed(String::new()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Runs a test command and counts: a run without a single test is a mistake, not a success.
pub fn run_tests(command: &mut Command) -> Outcome {
    match counted(command) {
        Ok(Counts { passed: 0, .. }) => Outcome::Failed("not a single test was run".to_owned()),
        Ok(counts) => Outcome::Passed(counts.to_string()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// A crate may well have no example in its documentation.
fn run_doctests() -> Outcome {
    match counted(&mut cargo(&["test", "--workspace", "--quiet", "--doc"])) {
        Ok(counts) => Outcome::Passed(counts.to_string()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn counted(command: &mut Command) -> Result<Counts> {
    let mut counts = Counts::default();
    let status = run_watched(command, |line| counts.add(line))?;
    if !status.success() {
        bail!("{counts}, {status}");
    }
    Ok(counts)
}

/// The sum of the lines `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Counts {
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        let count = |what: &str| {
            result
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u32>().ok())
                .unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        write!(
            formatter,
            "{passed} passed, {failed} failed, {ignored} ignored"
        )
    }
}

/// What `deny.toml` says of licences, sources and duplicates; needs nothing but cargo-deny.
fn deny() -> Outcome {
    match cargo_deny(&["bans", "licenses", "sources"]) {
        Ok(mut command) => checked(&mut command),
        Err(skipped) => skipped,
    }
}

/// Known vulnerabilities. Their list comes from the network: without it nothing can be said, and that
/// is no fault of the change.
fn advisories() -> Outcome {
    let mut command = match cargo_deny(&["advisories"]) {
        Ok(command) => command,
        Err(skipped) => return skipped,
    };
    match output(&mut command) {
        Ok(_) => Outcome::Passed(String::new()),
        Err(error)
            if error
                .to_string()
                .contains("failed to fetch advisory database") =>
        {
            Outcome::Skipped("the database of advisories cannot be fetched from here".to_owned())
        }
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn cargo_deny(checks: &[&str]) -> Result<Command, Outcome> {
    let program = find_program("cargo-deny").ok_or_else(|| {
        let why = "no cargo-deny, and building it takes minutes: cargo install --locked cargo-deny";
        Outcome::Skipped(why.to_owned())
    })?;
    let mut command = Command::new(program);
    command
        .args(["--color", "never", "check"])
        .args(checks)
        .current_dir(root());
    Ok(command)
}

/// Every Prometheus rule file of `dashboards/` through promtool.
fn rules(world: &World) -> Outcome {
    let files = match rule_files(&root().join("dashboards")) {
        Ok(files) => files,
        Err(error) => return Outcome::Failed(format!("{error:#}")),
    };
    if files.is_empty() {
        return Outcome::Skipped("no rule file in dashboards/".to_owned());
    }
    let Some(promtool) = world.promtool() else {
        return Outcome::Failed("no promtool: see the set-up".to_owned());
    };
    match output(Command::new(promtool).args(["check", "rules"]).args(&files)) {
        Ok(said) => {
            print!("{said}");
            Outcome::Passed(format!("{} files", files.len()))
        }
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn rule_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).context("failed to list dashboards")? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The test binaries of the package, as cargo finds them: `tests/x.rs` and `tests/x/main.rs`.
fn test_files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).context("failed to list tests")? {
        let path = entry?.path();
        let is_file = path.extension().is_some_and(|extension| extension == "rs");
        if is_file || path.join("main.rs").is_file() {
            let name = path.file_stem().context("a test file has a name")?;
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out");
        counts.add("test domain::passed ... ok");
        counts
            .add("test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out");
        assert_eq!(
            counts,
            Counts {
                passed: 6,
                failed: 3,
                ignored: 2
            }
        );
    }

    #[test]
    fn a_stage_that_does_not_exist_is_refused_with_the_names_of_all() {
        let selection = Selection {
            fast: false,
            only: vec!["lint".to_owned()],
        };
        let error = check_names(&selection, &["tidy".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("clippy") && error.contains("tidy"),
            "{error}"
        );
    }

    #[test]
    fn only_stories_need_the_world() {
        let files = ["stories".to_owned(), "tidy".to_owned()];
        assert!(is_story("stories", &files));
        assert!(!is_story("tidy", &files));
        assert!(!is_story("unit", &files));
    }
}
