//! Prometheus and its promtool: from `PATH`, the cache, or Debian's package, unpacked and not installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{MAKING, Part, debian, fill_at_once};
use crate::command::find_program;

pub struct Binaries {
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
}

const HINT: &str = "install Prometheus (Debian: apt-get install prometheus) so that `prometheus` and \
                    `promtool` are in PATH";

pub fn obtain(cache: &Path) -> Result<Part<Binaries>> {
    if let (Some(prometheus), Some(promtool)) =
        (find_program("prometheus"), find_program("promtool"))
    {
        let how = format!("found in PATH ({})", prometheus.display());
        return Ok(Part {
            value: Binaries {
                prometheus,
                promtool,
            },
            how,
        });
    }
    let shelf = cache.join("prometheus");
    if let Some((place, binaries)) = cached(&shelf) {
        let how = format!("found in {}", place.display());
        return Ok(Part {
            value: binaries,
            how,
        });
    }
    let version = debian::candidate("prometheus").context(HINT)?;
    let place = shelf.join(folder_name(&version));
    fill_at_once(&place, |folder| debian::unpack(&["prometheus"], folder)).context(HINT)?;
    let Some(binaries) = binaries_in(&place) else {
        bail!("the package prometheus {version} has no usr/bin/prometheus and promtool; {HINT}");
    };
    let how = format!(
        "{version} fetched from Debian's packages into {}",
        place.display()
    );
    Ok(Part {
        value: binaries,
        how,
    })
}

/// The newest by name; more than one is there only after a distribution was upgraded.
fn cached(shelf: &Path) -> Option<(PathBuf, Binaries)> {
    let mut places: Vec<PathBuf> = std::fs::read_dir(shelf)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    places.sort();
    places
        .into_iter()
        .rev()
        .find_map(|place| binaries_in(&place).map(|found| (place, found)))
}

fn binaries_in(place: &Path) -> Option<Binaries> {
    let prometheus = place.join("usr/bin/prometheus");
    let promtool = place.join("usr/bin/promtool");
    let whole = prometheus.is_file()
        && promtool.is_file()
        // A folder in the making is moved to its place when it is whole.
        && !place.to_string_lossy().contains(MAKING);
    whole.then_some(Binaries {
        prometheus,
        promtool,
    })
}

/// Epochs and tildes are no good in the names of folders.
fn folder_name(version: &str) -> String {
    version
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_made_folder_is_not_taken_for_prometheus() {
        let shelf = std::env::temp_dir().join(format!("holdfast-shelf-{}", std::process::id()));
        let making = shelf.join("2-42.making-1/usr/bin");
        std::fs::create_dir_all(&making).unwrap();
        for name in ["prometheus", "promtool"] {
            std::fs::write(making.join(name), "").unwrap();
        }
        assert!(cached(&shelf).is_none());
        std::fs::rename(shelf.join("2-42.making-1"), shelf.join("2-42")).unwrap();
        assert_eq!(cached(&shelf).unwrap().0, shelf.join("2-42"));
        std::fs::remove_dir_all(&shelf).unwrap();
    }

    #[test]
    fn versions_become_plain_folder_names() {
        assert_eq!(folder_name("2.42.0+ds-5+deb12u1"), "2-42-0-ds-5-deb12u1");
    }
}
