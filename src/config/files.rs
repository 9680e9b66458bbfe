//! Which files are the configuration: every `*.yaml` and `*.yml` below a directory, links followed.
//!
//! Entries whose name begins with `.` are skipped: `..data` of a mounted ConfigMap is seen through the
//! links that point into it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::sink::{Note, Place, Sink, Sources};
use crate::domain::id::Digest;

/// A file of thresholds is written by people; what is larger is something else.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files in one configuration: one for each of a few thousand tenants.
const FILES_MAX: usize = 10_000;
/// Folders in folders: guards against links that lead in circles under ever new names.
const DEPTH_MAX: usize = 16;

/// A file of the configuration, or why it cannot be read.
struct Found {
    name: String,
    text: Result<String, String>,
}

/// Reads all files; what cannot be read is a fault.
pub(super) fn gather(root: &Path, sink: &Sink) -> (Sources, String) {
    let found = find(root);
    let hash = digest(&found);
    let mut sources = Sources::default();
    let mut readable = 0_usize;
    for Found { name, text } in found {
        let (text, fault) = match text {
            Ok(text) => (text, None),
            Err(why) => (String::new(), Some(why)),
        };
        let file = sources.add(name, text);
        match fault {
            None => readable += 1,
            Some(why) => {
                sink.note(Note::fault(
                    "unreadable",
                    Place {
                        file,
                        ..Place::default()
                    },
                    why,
                ));
                sink.incomplete();
            }
        }
    }
    if readable == 0 && sink.faults() == 0 {
        let file = sources.add(root.display().to_string(), String::new());
        let place = Place {
            file,
            ..Place::default()
        };
        let note = Note::fault(
            "unreadable",
            place,
            "there is no *.yaml or *.yml file in it",
        );
        sink.note(note.hint("an empty configuration would watch nothing"));
    }
    (sources, hash)
}

/// One text that did not come from the file system.
pub(super) fn single(name: &str, text: &str) -> (Sources, String) {
    let mut sources = Sources::default();
    let hash = digest(&[Found {
        name: name.to_owned(),
        text: Ok(text.to_owned()),
    }]);
    sources.add(name.to_owned(), text.to_owned());
    (sources, hash)
}

/// The hash of what [`gather`] would read now.
pub(super) fn hash(root: &Path) -> String {
    digest(&find(root))
}

/// The directories whose entries decide what is read.
pub(super) fn directories(root: &Path) -> Vec<PathBuf> {
    if root.is_dir() {
        let mut walk = Walk::default();
        walk.folder(root, "", 0);
        return walk.folders;
    }
    let parent = root
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    vec![parent.unwrap_or(Path::new(".")).to_owned()]
}

fn digest(found: &[Found]) -> String {
    let mut parts: Vec<&str> = Vec::with_capacity(found.len() * 2);
    for Found { name, text } in found {
        parts.push(name);
        parts.push(match text {
            Ok(text) | Err(text) => text,
        });
    }
    Digest::of(&parts).to_string()
}

fn find(root: &Path) -> Vec<Found> {
    let mut walk = Walk::default();
    if root.is_dir() {
        walk.folder(root, "", 0);
    } else {
        walk.file(root, root.display().to_string());
    }
    walk.found.sort_by(|a, b| a.name.cmp(&b.name));
    walk.found
}

#[derive(Default)]
struct Walk {
    found: Vec<Found>,
    folders: Vec<PathBuf>,
    entered: BTreeSet<PathBuf>,
}

// === impl Walk ===

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        let canonical = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if depth > DEPTH_MAX || !self.entered.insert(canonical) {
            return;
        }
        self.folders.push(folder.to_owned());
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let name = if prefix.is_empty() {
                    folder.display().to_string()
                } else {
                    prefix.to_owned()
                };
                self.found.push(Found {
                    name,
                    text: Err(format!("cannot be listed: {error}")),
                });
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let shown = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let yaml = [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
            if path.is_dir() {
                self.folder(&path, &shown, depth + 1);
            } else if yaml && self.found.len() < FILES_MAX {
                self.file(&path, shown);
            } else if yaml {
                let why = format!("there are more than {FILES_MAX} files");
                self.found.push(Found {
                    name: shown,
                    text: Err(why),
                });
                return;
            }
        }
    }

    fn file(&mut self, path: &Path, name: String) {
        self.found.push(Found {
            name,
            text: content(path),
        });
    }
}

fn content(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "is larger than {} MiB",
            FILE_BYTES_MAX / 1024 / 1024
        ));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}
