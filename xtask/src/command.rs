//! Running other programs: shown as a person would type them, judged by their exit status.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the checkout, whatever directory the task was started in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_path_buf()
}

/// The cargo that started this task, in the root of the checkout.
pub fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// What a person would type to get the same.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or(program.as_os_str())];
    words.extend(command.get_args());
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// The program and its first argument: enough to tell which it was, below the full line.
fn named(command: &Command) -> String {
    let whole = shown(command);
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Runs it with its output where ours goes.
///
/// # Errors
/// If it cannot be started or ends with another status than zero.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("failed to start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", named(command));
    }
    Ok(())
}

/// Runs it quietly and gives what it printed.
///
/// # Errors
/// If it cannot be started or fails; the error then carries the end of what it complained.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{}`", shown(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let end: Vec<&str> = complaint.lines().rev().take(5).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        bail!(
            "`{}` ended with {}: {}",
            shown(command),
            output.status,
            end.join(" | ")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it, passes its standard output on line by line and shows every line to `look` as well.
///
/// # Errors
/// If it cannot be started or its output cannot be read; the status is given, not judged.
pub fn run_watched(
    command: &mut Command,
    mut look: impl FnMut(&str),
) -> Result<std::process::ExitStatus> {
    println!("$ {}", shown(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{}`", shown(command)))?;
    let pipe = child
        .stdout
        .take()
        .expect("standard output was asked for as a pipe");
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    let mut terminal = std::io::stdout().lock();
    while reader
        .read_until(b'\n', &mut line)
        .context("failed to read its output")?
        > 0
    {
        terminal.write_all(&line)?;
        look(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    child
        .wait()
        .with_context(|| format!("failed to wait for `{}`", shown(command)))
}

/// Looks a program up in `PATH`, as a shell would.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
