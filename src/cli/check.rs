//! `holdfast check`: all faults and lints of a configuration.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{self, finding::Finding, report};

/// There are faults.
const INVALID: u8 = 1;
/// Lints were found, and `--lint-fatal` was given.
const LINTS: u8 = 3;

/// Check a configuration: every fault and lint, with its place
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory, a file, or `-` for standard input
    #[arg(default_value = "/etc/holdfast")]
    pub path: PathBuf,
    /// How to print what is found
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Exit with 3 if there are lints
    #[arg(long)]
    pub lint_fatal: bool,
}

/// How to print what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Like a compiler.
    Human,
    /// One object.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
}

/// Runs the command.
///
/// # Errors
/// If standard input cannot be read or standard output cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (code, text) = checked(args)?;
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("failed to write the report")?;
    Ok(ExitCode::from(code))
}

fn checked(args: Args) -> anyhow::Result<(u8, String)> {
    let Args {
        path,
        format,
        lint_fatal,
    } = args;
    let result = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("failed to read standard input")?;
        config::load_text("<stdin>", &text)
    } else {
        config::load(&path)
    };
    let (hash, faults, lints) = match result {
        Ok(config) => (config.hash, Vec::new(), config.lints),
        Err(report) => (report.hash, report.faults, report.lints),
    };
    let text = rendered(format, &path, &hash, &faults, &lints);
    let code = if !faults.is_empty() {
        INVALID
    } else if lint_fatal && !lints.is_empty() {
        LINTS
    } else {
        0
    };
    Ok((code, text))
}

fn rendered(
    format: Format,
    path: &Path,
    hash: &str,
    faults: &[Finding],
    lints: &[Finding],
) -> String {
    match format {
        Format::Human => report::human(faults, lints),
        Format::Json => format!("{:#}\n", report::json(hash, faults, lints)),
        Format::Github => report::github(path, faults, lints),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format, lint_fatal: bool) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        let path = folder.path().to_owned();
        checked(Args {
            path,
            format,
            lint_fatal,
        })
        .unwrap()
    }

    #[test]
    fn the_exit_code_tells_good_from_invalid_from_lints() {
        let (good, invalid) = ("tenants: { acme: {} }\n", "tenants: { Acme: {} }\n");
        let lint = "receivers: { ops: { webhook: { url: http://x/ } } }\n";
        assert_eq!(
            check(good, Format::Human, true),
            (0, "0 errors, 0 lints\n".to_owned())
        );
        assert_eq!(check(invalid, Format::Human, true).0, INVALID);
        assert_eq!(check(lint, Format::Human, false).0, 0);
        assert_eq!(check(lint, Format::Human, true).0, LINTS);
    }

    #[test]
    fn json_is_one_object_and_github_names_the_file_from_where_one_stands() {
        let (_, json) = check("tenants: { Acme: {} }\n", Format::Json, false);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["valid"], false);
        assert_eq!(json["faults"][0]["code"], "bad-name");
        assert_eq!(json["faults"][0]["line"], 1);
        let (_, github) = check("tenants: { Acme: {} }\n", Format::Github, false);
        assert!(github.starts_with("::error file=/"), "{github}");
        assert!(
            github.contains("/a.yaml,line=1,col=12,endColumn=16,title=bad-name::"),
            "{github}"
        );
    }
}
