//! The test world: what the stories need that is not in the checkout.
//!
//! Each part is looked for where a person would have put it, then in the cache, and only then
//! fetched or built. The cache lies outside the checkout (`$XDG_CACHE_HOME/holdfast`, else
//! `~/.cache/holdfast`), in folders named by version, so that a part is never half there: it is made
//! beside its place and moved in whole. Nothing is installed into the machine, no service is started.

mod control_plane;
mod debian;
mod go;
mod prometheus;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::root;
use crate::stopwatch::Stopwatch;
use crate::summary::{Outcome, Summary};

/// Where the parts are; what could not be had is `None` and stands in the summary as failed.
pub struct World {
    assets: Option<PathBuf>,
    prometheus: Option<prometheus::Binaries>,
}

/// How a part was come by, as the set-up says it.
pub struct Part<T> {
    pub value: T,
    pub how: String,
}

impl World {
    /// Hands the parts to a test process.
    pub fn export(&self, command: &mut Command) {
        for (name, value) in self.variables() {
            command.env(name, value);
        }
    }

    pub fn promtool(&self) -> Option<&Path> {
        self.prometheus
            .as_ref()
            .map(|binaries| binaries.promtool.as_path())
    }

    /// The contract with `tests/support/assets.rs`.
    fn variables(&self) -> Vec<(&'static str, &Path)> {
        let mut variables = Vec::new();
        if let Some(assets) = &self.assets {
            variables.push(("HOLDFAST_TEST_ASSETS", assets.as_path()));
        }
        if let Some(binaries) = &self.prometheus {
            variables.push(("HOLDFAST_TEST_PROMETHEUS", binaries.prometheus.as_path()));
        }
        variables
    }

    /// Leaves a note for a plain `cargo test`, which no task has given an environment.
    fn leave_note(&self) -> Result<()> {
        let folder = root().join("target");
        std::fs::create_dir_all(&folder).context("failed to create target")?;
        let lines: String = self
            .variables()
            .into_iter()
            .map(|(name, value)| format!("{name}={}\n", value.display()))
            .collect();
        std::fs::write(folder.join("test-world.env"), lines)
            .context("failed to write target/test-world.env")
    }
}

/// Makes the whole world, one line a part.
///
/// # Errors
/// Only if the machine is unusable (no home, no place to write); a part that cannot be had is a line.
pub fn everything() -> Result<(World, Summary)> {
    let mut summary = Summary::new();
    println!("=== setup");
    let assets = obtain(&mut summary, "control plane", control_plane::obtain);
    let prometheus = obtain(&mut summary, "prometheus", prometheus::obtain);
    let world = World { assets, prometheus };
    world.leave_note()?;
    Ok((world, summary))
}

/// A world without parts, for what does not need any.
pub fn nothing() -> World {
    World {
        assets: None,
        prometheus: None,
    }
}

fn obtain<T>(
    summary: &mut Summary,
    name: &str,
    work: impl FnOnce(&Path) -> Result<Part<T>>,
) -> Option<T> {
    let watch = Stopwatch::start();
    let result = cache().and_then(|cache| work(&cache));
    match result {
        Ok(Part { value, how }) => {
            summary.record(name, Outcome::Passed(how), watch.elapsed());
            Some(value)
        }
        Err(error) => {
            summary.record(name, Outcome::Failed(format!("{error:#}")), watch.elapsed());
            None
        }
    }
}

fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => std::env::home_dir()
            .context("no home directory: set XDG_CACHE_HOME to a folder for the cache")?
            .join(".cache"),
    };
    let cache = base.join("holdfast");
    std::fs::create_dir_all(&cache)
        .with_context(|| format!("failed to create {}", cache.display()))?;
    Ok(cache)
}

/// Makes `place` whole or not at all: `fill` works in a folder beside it, which is then moved in.
fn fill_at_once(place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = place
        .file_name()
        .context("a part of the cache needs a name")?
        .to_string_lossy();
    let making = place.with_file_name(format!("{name}{MAKING}{}", std::process::id()));
    sweep_abandoned(place);
    std::fs::create_dir_all(&making)
        .with_context(|| format!("failed to create {}", making.display()))?;
    let filled = fill(&making).and_then(|()| {
        // Another checkout may have been as quick: its folder has the same contents.
        match std::fs::rename(&making, place) {
            Ok(()) => Ok(()),
            Err(_) if place.is_dir() => Ok(()),
            Err(error) => Err(error).context("failed to move the finished folder into place"),
        }
    });
    if making.exists() {
        std::fs::remove_dir_all(&making)?;
    }
    filled
}

/// Stands in the name of a folder that is not whole yet, before the id of the process that fills it.
const MAKING: &str = ".making-";

/// Removes what a set-up that was killed left beside `place`; best effort, it is only space.
fn sweep_abandoned(place: &Path) {
    let Some(shelf) = place
        .parent()
        .and_then(|shelf| std::fs::read_dir(shelf).ok())
    else {
        return;
    };
    for entry in shelf.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.split_once(MAKING).map(|(_, process)| process);
        if maker.is_some_and(|process| !Path::new("/proc").join(process).exists())
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            eprintln!("could not remove {}: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("holdfast-xtask-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_part_that_could_not_be_made_leaves_nothing_behind() {
        let place = scratch("failed").join("v1.2.3");
        let result = fill_at_once(&place, |making| {
            std::fs::write(making.join("half"), "half")?;
            anyhow::bail!("the other half is missing")
        });
        assert!(result.is_err());
        let parent = place.parent().unwrap();
        assert_eq!(std::fs::read_dir(parent).unwrap().count(), 0);
        std::fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_part_that_another_made_meanwhile_is_taken() {
        let place = scratch("raced").join("v1");
        fill_at_once(&place, |making| {
            std::fs::create_dir_all(&place)?;
            std::fs::write(place.join("binary"), "theirs")?;
            Ok(std::fs::write(making.join("binary"), "ours")?)
        })
        .unwrap();
        assert_eq!(
            std::fs::read_to_string(place.join("binary")).unwrap(),
            "theirs"
        );
        std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
    }
}
