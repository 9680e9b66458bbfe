//! What people read, held against what is there: links, paths, commands, options, examples, tables.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use holdfast::domain::decision::Hold;
use regex::Regex;

use super::source::{files, read, root};

/// Documents of which every ```yaml block is a whole configuration.
const THRESHOLDS: &[&str] = &["README.md", "docs/objectives.md", "docs/rollback.md"];

/// Folders at the top of the checkout whose paths documents mention.
const FOLDERS: &str =
    r"src|tests|docs|config|k8s|migrations|xtask|dashboards|benches|examples|\.ci";

/// Paths that documents name as those of something to come.
const PROMISED: &[&str] = &["migrations/postgres/"];

fn documents() -> Vec<String> {
    let top = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let docs = files("docs")
        .into_iter()
        .filter(|path| path.ends_with(".md"));
    top.iter()
        .map(|path| (*path).to_owned())
        .chain(docs)
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut faults = Vec::new();
    for path in documents() {
        let text = read(&path);
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let whole = if file.is_empty() {
                Path::new(&path).to_path_buf()
            } else {
                folder.join(file)
            };
            if !root().join(&whole).exists() {
                faults.push(format!("{path}: {target}"));
            } else if !anchor.is_empty() && !anchors(&whole).contains(anchor) {
                faults.push(format!("{path}: no such heading: {target}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Headings as the usual renderers link to them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn paths_that_are_mentioned_exist() {
    let span = Regex::new(r"`([^`\n]+)`").unwrap();
    let path = Regex::new(&format!(r"^(?:{FOLDERS})/[\w./-]*$")).unwrap();
    let mut faults = Vec::new();
    for document in documents() {
        for found in span.captures_iter(&read(&document)) {
            let mentioned = &found[1];
            let pattern = mentioned.contains("NNNN") || mentioned.contains("NAME");
            let pattern = pattern || PROMISED.contains(&mentioned);
            if path.is_match(mentioned) && !pattern && !root().join(mentioned).exists() {
                faults.push(format!("{document}: {mentioned}"));
            }
        }
    }
    let kept = PROMISED.iter().filter(|path| root().join(path).exists());
    faults.extend(kept.map(|path| format!("{path} is there now: take it out of the list")));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Everything that stands in backticks or in a block of shell.
fn commands(text: &str) -> Vec<String> {
    let inline = Regex::new(r"`([^`\n]+)`").unwrap();
    let mut found: Vec<String> = inline
        .captures_iter(text)
        .map(|c| c[1].to_owned())
        .collect();
    let block = Regex::new(r"(?s)```(?:sh|console)\n(.*?)```").unwrap();
    for each in block.captures_iter(text) {
        found.extend(
            each[1]
                .lines()
                .map(|line| line.trim_start_matches("$ ").to_owned()),
        );
    }
    found
}

/// What `--help` says, or none if there is no such command.
fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(words)
        .arg("--help")
        .output()
        .expect("the binary of this build starts");
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn commands_and_options_of_the_daemon_exist() {
    let call = Regex::new(r"(?:^|[^\w./-])holdfast ((?:[a-z]+)(?: [^|;#]*)?)").unwrap();
    let option = Regex::new(r"--[a-z][a-z-]*").unwrap();
    let mut faults = Vec::new();
    for path in documents() {
        for line in commands(&read(&path)) {
            // A daemon's own name as an object of the cluster is no command.
            let line = match line.split_once(" -- holdfast ") {
                Some((_, within)) => format!("holdfast {within}"),
                None => line,
            };
            if line.contains("kubectl") || line.contains("docker") {
                continue;
            }
            for found in call.captures_iter(&line) {
                let words: Vec<&str> = found[1].split_whitespace().collect();
                let names = if words[0] == "config" {
                    &words[..words.len().min(2)]
                } else {
                    &words[..1]
                };
                match help(names) {
                    None => faults.push(format!("{path}: no such command: {line}")),
                    Some(text) => {
                        let missing = option
                            .find_iter(&found[1])
                            .filter(|o| !text.contains(o.as_str()));
                        faults
                            .extend(missing.map(|o| format!("{path}: no {}: {line}", o.as_str())));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn tasks_of_the_workshop_exist() {
    let call = Regex::new(r"cargo xtask ([a-z]+)((?: --[a-z-]+)*)").unwrap();
    let workshop = read("xtask/src/arguments.rs");
    let mut faults = Vec::new();
    for path in documents() {
        for found in call.captures_iter(&read(&path)) {
            let options = found[2]
                .split_whitespace()
                .all(|option| workshop.contains(option));
            if !workshop.contains(&format!("\"{}\" =>", &found[1])) || !options {
                faults.push(format!("{path}: {}", &found[0]));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A benchmark that is mentioned is one that is declared.
#[test]
fn benchmarks_and_examples_exist() {
    let call = Regex::new(r"--(bench|example) ([a-z_]+)").unwrap();
    let mut faults = Vec::new();
    for path in documents() {
        for found in call.captures_iter(&read(&path)) {
            let folder = if &found[1] == "bench" {
                "benches"
            } else {
                "examples"
            };
            if !root()
                .join(folder)
                .join(format!("{}.rs", &found[2]))
                .is_file()
            {
                faults.push(format!("{path}: {}", &found[0]));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn yaml_blocks(path: &str) -> Vec<String> {
    let block = Regex::new(r"(?s)```yaml\n(.*?)```").unwrap();
    let text = read(path);
    block
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect()
}

#[test]
fn examples_of_threshold_files_pass_check() {
    assert!(
        !yaml_blocks("README.md").is_empty(),
        "the README shows a first threshold file"
    );
    for path in THRESHOLDS {
        for block in yaml_blocks(path) {
            let checked = holdfast::config::load_text("example.yaml", &block);
            let report = match checked {
                Ok(config) => {
                    assert!(
                        config.lints.is_empty(),
                        "{path}: {:?}\n{block}",
                        config.lints
                    );
                    continue;
                }
                Err(report) => report,
            };
            panic!(
                "{path}:\n{}",
                holdfast::config::report::human(&report.faults, &report.lints)
            );
        }
    }
}

/// Words in backticks at the begin of a table's rows.
fn rows(path: &str) -> BTreeSet<String> {
    let row = Regex::new(r"(?m)^\| `([^`]+)` \|").unwrap();
    row.captures_iter(&read(path))
        .map(|found| found[1].to_owned())
        .collect()
}

#[test]
fn every_hold_is_explained_to_people_and_no_other() {
    let holds: BTreeSet<String> = Hold::ALL
        .iter()
        .map(|hold| hold.as_str().to_owned())
        .collect();
    let explained = rows("docs/rollback.md");
    let missing: Vec<_> = holds.difference(&explained).collect();
    assert!(missing.is_empty(), "not explained: {missing:?}");
    let word = Regex::new(r"^[a-z]+(-[a-z]+)*$").unwrap();
    let more: Vec<_> = explained
        .difference(&holds)
        .filter(|name| word.is_match(name))
        .collect();
    assert!(more.is_empty(), "no such hold: {more:?}");
}

#[test]
fn the_index_lists_every_document() {
    let index = read("docs/README.md");
    for path in files("docs").iter().filter(|path| path.ends_with(".md")) {
        let name = path.trim_start_matches("docs/");
        let linked = index.contains(&format!("({name})"));
        // One that is made by a task is named, since a checkout may be without it.
        let made = index.contains(&format!("`{name}`"));
        assert!(name == "README.md" || linked || made, "{name}");
    }
}

/// Whoever looks for a behaviour begins with the map: every room is on it.
#[test]
fn the_map_shows_every_room() {
    let map = read("ARCHITECTURE.md");
    let rooms: BTreeSet<String> = files("src")
        .iter()
        .filter_map(|path| Some(path.strip_prefix("src/")?.split_once('/')?.0.to_owned()))
        .collect();
    assert!(rooms.len() > 8, "{rooms:?}");
    for room in rooms {
        assert!(
            map.contains(&format!("`{room}/`")),
            "`{room}/` is not in ARCHITECTURE.md"
        );
    }
}
