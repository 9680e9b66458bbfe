//! Debian's packages without installing them: fetched by `apt-get download`, unpacked by `dpkg-deb`.
//!
//! This needs no root, starts no service and leaves the machine as it was; it suits programs that
//! need little beside themselves, as those written in Go do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find_program, output};

/// The version that `apt-get` would fetch now; refreshes the lists if they know nothing.
///
/// # Errors
/// If this is no Debian, or the package is in none of its sources.
pub fn candidate(package: &str) -> Result<String> {
    if find_program("apt-get").is_none() || find_program("dpkg-deb").is_none() {
        bail!("no apt-get and dpkg-deb here to fetch the package {package} with");
    }
    if let Some(version) = known_candidate(package)? {
        return Ok(version);
    }
    output(Command::new("apt-get").arg("update"))
        .context("the package lists are empty, and refreshing them failed (it needs root)")?;
    known_candidate(package)?
        .with_context(|| format!("no source of apt-get has a package {package}"))
}

/// Fetches packages and unpacks all of them into `folder`.
///
/// # Errors
/// If one cannot be fetched (after the lists were refreshed once) or unpacked.
pub fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    let fetch = || {
        output(
            Command::new("apt-get")
                .arg("download")
                .args(packages)
                .current_dir(folder),
        )
    };
    if fetch().is_err() {
        // Lists older than the archive name files that are gone; with root that can be mended.
        output(Command::new("apt-get").arg("update")).context("failed to refresh package lists")?;
        fetch()?;
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder))?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn known_candidate(package: &str) -> Result<Option<String>> {
    let policy = output(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )?;
    Ok(parse_candidate(&policy))
}

fn parse_candidate(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))?
        .trim();
    (version != "(none)").then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy =
            "prometheus:\n  Installed: (none)\n  Candidate: 2.42.0+ds-5\n  Version table:\n";
        assert_eq!(parse_candidate(policy).as_deref(), Some("2.42.0+ds-5"));
        assert_eq!(parse_candidate("x:\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }
}
