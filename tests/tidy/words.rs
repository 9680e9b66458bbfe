//! Names, sizes, leftovers, and what does not belong into a repository.

use std::collections::BTreeSet;

use super::source::{files, masked, product, read, root};

/// A file is read in one sitting.
const LINES_MAX: usize = 600;

/// Longer files, and why they are not in two.
const LONGER: &[(&str, &str)] = &[
    (
        "src/domain/series.rs",
        "one data structure with its stories; what it stores and how it forgets are read together",
    ),
    (
        "src/domain/monitor.rs",
        "one state machine; half of it are the stories of its arrows",
    ),
    (
        "src/replay/stories.rs",
        "stories that share one small world",
    ),
];

/// Names that say nothing, as a whole or as a part of one.
const BANNED_PARTS: &[&str] = &[
    "manager", "handler", "helper", "helpers", "util", "utils", "common", "misc",
];
/// Names that say nothing when they stand alone.
const BANNED_WHOLE: &[&str] = &["data", "info", "process"];

/// Exceptions, and why.
const NAMED_SO: &[(&str, &str)] = &[
    (
        "src/http/mod.rs process",
        "the operating system's process: what Prometheus calls process metrics",
    ),
    (
        "tests/support/mod.rs process",
        "the operating system's process",
    ),
    (
        "src/daemon/leadership_tests.rs process",
        "the operating system's process",
    ),
    (
        "tests/support/audit.rs field_manager",
        "Kubernetes calls it so",
    ),
    (
        "tests/support/audit.rs by_field_manager",
        "Kubernetes calls it so",
    ),
    (
        "tests/support/controlplane.rs start_controller_manager",
        "Kubernetes calls it so",
    ),
];

const RUST: &[&str] = &["src", "tests", "xtask", "benches", "examples"];

fn rust_files() -> Vec<String> {
    let folders = RUST.iter().filter(|folder| root().join(folder).is_dir());
    let all = folders.flat_map(|folder| files(folder));
    all.filter(|path| path.ends_with(".rs")).collect()
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut faults = Vec::new();
    for path in rust_files() {
        let lines = read(&path).lines().count();
        let known = LONGER.iter().any(|(long, _)| *long == path);
        if lines > LINES_MAX && !known {
            faults.push(format!(
                "{path} has {lines} lines: split it by state or verb"
            ));
        }
        if lines <= LINES_MAX && known {
            faults.push(format!("{path} has {lines} lines: take it out of the list"));
        }
    }
    for (path, _) in LONGER {
        if !root().join(path).is_file() {
            faults.push(format!("{path} is in the list, and gone"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn modules_open_with_what_they_are() {
    let mut faults = Vec::new();
    for path in rust_files() {
        let first = read(&path).lines().next().unwrap_or_default().to_owned();
        // A file of tests is opened by the module it tests.
        let names: Vec<&str> = path.trim_end_matches(".rs").split(['/', '_']).collect();
        let is_tests = names.contains(&"tests") && !path.starts_with("tests/");
        if !first.starts_with("//! ") && !is_tests {
            faults.push(path);
        }
    }
    assert!(
        faults.is_empty(),
        "no `//!` in the first line:\n{}",
        faults.join("\n")
    );
}

#[test]
fn nothing_is_left_for_later_and_nothing_is_silenced() {
    let later = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let pattern = format!(r"\b(?:{})\b", later.join("|"));
    let pattern = regex::Regex::new(&pattern).unwrap();
    let silenced = concat!("#[al", "low(");
    let whole = concat!("#![al", "low(");
    let mut faults = Vec::new();
    for path in rust_files() {
        for (number, line) in (1..).zip(read(&path).lines()) {
            if pattern.is_match(line) || line.contains(silenced) || line.contains(whole) {
                faults.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    for path in files("docs")
        .into_iter()
        .chain(files("k8s"))
        .chain(files("config"))
    {
        if pattern.is_match(&read(&path)) {
            faults.push(path);
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_daemon_does_not_panic_for_convenience() {
    let mut faults = Vec::new();
    let pattern = regex::Regex::new(r"\.unwrap\(\)|\b(?:panic|todo|unimplemented)!").unwrap();
    for source in product() {
        for found in pattern.find_iter(&source.code) {
            let line = source.line(found.start());
            faults.push(format!("{}:{line}: {}", source.path, found.as_str()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// `TenantId` is tenant and id, `open_for` is open and for.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for each in name.chars() {
        if each == '_' || each.is_uppercase() {
            parts.push(String::new());
        }
        if each != '_' {
            let last = parts.len() - 1;
            parts[last].extend(each.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn names_say_what_a_thing_is() {
    let defined =
        regex::Regex::new(r"\b(mod|struct|enum|trait|type|fn) ([A-Za-z_][A-Za-z0-9_]*)").unwrap();
    let test = regex::Regex::new(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:async )?fn \w+").unwrap();
    let mut found_so = BTreeSet::new();
    for path in rust_files() {
        // The name of a test is a sentence, and sentences may contain any word.
        let code = masked(&read(&path));
        let code = test.replace_all(&code, "");
        for found in defined.captures_iter(&code) {
            let name = &found[2];
            let parts = parts(name);
            let part = parts
                .iter()
                .any(|part| BANNED_PARTS.contains(&part.as_str()));
            let whole = ["mod", "fn"].contains(&&found[1]) && BANNED_WHOLE.contains(&name);
            let shaped = &found[1] == "fn"
                && (name.starts_with("do_")
                    || name.starts_with("actually_")
                    || name.ends_with("_impl"));
            let place = format!("{path} {name}");
            if part || whole || shaped {
                found_so.insert(place);
            }
        }
    }
    let excused: BTreeSet<String> = NAMED_SO
        .iter()
        .map(|(place, _)| (*place).to_owned())
        .collect();
    let faults: Vec<String> = found_so.symmetric_difference(&excused).cloned().collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The rule is written down once, where people look words up.
#[test]
fn the_glossary_names_the_banned_words() {
    let glossary = read("docs/glossary.md");
    let line = glossary
        .lines()
        .find(|line| line.starts_with("Banned as names:"))
        .expect("the glossary says which words are banned");
    for word in BANNED_PARTS.iter().chain(BANNED_WHOLE) {
        // The plural goes with its word.
        let word = if BANNED_PARTS.contains(word) {
            word.trim_end_matches('s')
        } else {
            word
        };
        assert!(
            line.contains(&format!("`{word}`")),
            "{word} is not in: {line}"
        );
    }
}

/// Folders and hosts that exist on one machine or in one network only.
const SOMEWHERE: &[&str] = &[
    "/home/",
    "/root/",
    "/Users/",
    "/work/",
    "/mnt/",
    "/media/",
    ".internal",
    ".corp",
    ".intranet",
    ".lan",
];

/// A path that begins there, or a host that ends there.
fn speaks_of(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        if place.starts_with('/') {
            let begins = before.is_none_or(|each| " \t\"'`(=:,".contains(each));
            return begins && after.is_some_and(char::is_alphanumeric);
        }
        let inside =
            |each: Option<char>| each.is_some_and(|c| c.is_alphanumeric() || "-_(".contains(c));
        inside(before) && !inside(after)
    })
}

#[test]
fn nothing_speaks_of_one_machine_or_one_workplace() {
    assert!(speaks_of("cd /home/ada", "/home/") && speaks_of("https://mirror.corp/x", ".corp"));
    assert!(!speaks_of("https://x.example/home/y", "/home/") && !speaks_of("a.corpus", ".corp"));
    let mut faults = Vec::new();
    for path in files("")
        .into_iter()
        .filter(|path| !path.starts_with("tests/tidy/"))
    {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue; // Not text: nothing to read in it.
        };
        for place in SOMEWHERE.iter().filter(|place| text.contains(**place)) {
            for (number, line) in (1..).zip(text.lines()) {
                if speaks_of(line, place) {
                    faults.push(format!("{path}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Whoever builds this elsewhere gets the crates from where everybody gets them.
#[test]
fn crates_come_from_the_public_registry() {
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let lock = read("Cargo.lock");
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        assert_eq!(line, public);
    }
}
