//! Who may import whom. Arrows point towards `domain`; only `daemon` knows all, and rooms side by side
//! do not know each other.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, product, sources};

/// What each room may import besides itself. `telemetry` is open to every mechanism.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("telemetry", &[]),
    ("config", &["domain"]),
    ("wire", &["domain"]),
    ("probe", &["domain", "telemetry"]),
    ("notify", &["domain", "telemetry"]),
    // The deadlines of the lease and of each call are the cluster's own business.
    ("cluster", &["domain", "telemetry", "clock"]),
    // Rows are the shapes of `wire`, so that one change of what is written is seen in one place.
    ("store", &["domain", "telemetry", "wire"]),
    // Answers are read from the store's trait and written in the shapes of `wire`.
    ("http", &["domain", "telemetry", "wire", "store"]),
    ("sim", &[]),
    ("replay", &["domain"]),
    (
        "daemon",
        &[
            "domain",
            "clock",
            "telemetry",
            "config",
            "probe",
            "notify",
            "cluster",
            "store",
            "http",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "clock",
            "telemetry",
            "config",
            "wire",
            "probe",
            "notify",
            "cluster",
            "store",
            "http",
            "daemon",
            "replay",
            "sim",
        ],
    ),
];

/// What tests of a room may import more: a clock to set, a store to write into, its fixtures, a world to act on.
const TESTS_MAY_IMPORT: &[&str] = &["clock", "store", "sim", "wire"];

/// Crates the pure core may use: none that waits, reads, writes, asks for the time or rolls dice.
const DOMAIN_CRATES: &[&str] = &["std", "core", "sha2", "regex", "thiserror", "jiff"];

/// What `std` offers and the pure core must not touch, and words that mean the same.
const DOMAIN_NEVER: &[&str] = &[
    r"\basync\b",
    r"\.await\b",
    r"\bInstant\b",
    r"\bSystemTime\b",
    r"\bstd::(fs|io|net|env|process|thread|os)\b",
    r"\b(Mutex|RwLock|Condvar|OnceLock|LazyLock|Atomic\w+)\b",
    r"\b(tokio|serde|serde_json|tracing|rand|sqlx|kube|reqwest|hyper|axum|futures)::",
    r"#\[derive\([^)]*\b(Serialize|Deserialize)\b",
    r"\b(println|eprintln|dbg)!",
];

/// Where floating-point numbers may stand, besides tests, and why.
const FLOATS: &[(&str, &str)] = &[
    (
        "src/domain/value.rs",
        "the newtype: finite, totally ordered",
    ),
    (
        "src/domain/series.rs",
        "a value read back from an image's bits",
    ),
    ("src/domain/objective.rs", "a limit spelled as a duration"),
    ("src/domain/time.rs", "seconds, as metrics want them"),
    (
        "src/config/quantity.rs",
        "numbers as they are written in the files",
    ),
    (
        "src/config/yaml.rs",
        "numbers as they are written in the files",
    ),
    ("src/daemon/prober/", "seconds, as metrics want them"),
    ("src/http/exposition.rs", "metrics have no other numbers"),
    ("src/http/process.rs", "metrics have no other numbers"),
    ("src/http/page/chart.rs", "coordinates"),
    ("src/http/shape/", "numbers in JSON"),
    ("src/probe/http/expect.rs", "numbers in JSON"),
    ("src/store/segment.rs", "a value packed by its bits"),
    ("src/telemetry/metrics.rs", "metrics have no other numbers"),
    ("src/wire/", "numbers in JSON"),
    ("src/sim/app.rs", "metrics have no other numbers"),
];

fn allowed(room: &str) -> Option<BTreeSet<&'static str>> {
    let (_, rooms) = MAY_IMPORT.iter().find(|(name, _)| *name == room)?;
    Some(rooms.iter().copied().collect())
}

/// The rooms that a file's code names by `crate::`, with the line of the first time.
fn imported(source: &Source) -> BTreeMap<String, usize> {
    let code = if source.is_test {
        &source.whole
    } else {
        &source.code
    };
    let mut rooms = BTreeMap::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or_default(),
        };
        for name in names.split(',') {
            let room = name.trim().split("::").next().unwrap_or_default();
            if !room.is_empty() {
                let line = || code[..at].matches('\n').count() + 1;
                rooms.entry(room.to_owned()).or_insert_with(line);
            }
        }
    }
    rooms
}

#[test]
fn rooms_import_only_what_lies_towards_the_domain() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(room) = source.room().filter(|room| !["lib", "main"].contains(room)) else {
            continue;
        };
        let Some(mut may) = allowed(room) else {
            faults.push(format!(
                "{}: the room `{room}` is not in the table",
                source.path
            ));
            continue;
        };
        if source.is_test {
            may.extend(TESTS_MAY_IMPORT);
        }
        for (other, line) in imported(source) {
            let known = MAY_IMPORT.iter().any(|(name, _)| *name == other);
            if known && other != room && !may.contains(other.as_str()) {
                faults.push(format!(
                    "{}:{line}: `{room}` imports `{other}`",
                    source.path
                ));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// `super::super::…` up to the crate's root would pass by the table.
#[test]
fn nobody_climbs_out_of_a_room() {
    let mut faults = Vec::new();
    for source in product() {
        for (number, line) in (1..).zip(source.code.lines()) {
            let Some(at) = line.find("super::super") else {
                continue;
            };
            let steps = line[at..]
                .split("::")
                .take_while(|part| *part == "super")
                .count();
            // In an inline module or a block the code is indented, and one more step stays inside.
            let indented = (line.len() - line.trim_start().len()) / 4;
            if steps >= source.depth() + indented {
                faults.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Every edge of the table is used by somebody, so the table never allows what nobody needs.
#[test]
fn the_table_of_imports_holds_no_edge_that_is_not_there() {
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for source in product() {
        for (other, _) in imported(source) {
            used.insert((source.room().unwrap_or_default().to_owned(), other));
        }
    }
    let mut idle = Vec::new();
    for (room, others) in MAY_IMPORT {
        // Log and metrics are open to every mechanism; `cli` may build and ask whatever there is.
        for other in others
            .iter()
            .filter(|other| **other != "telemetry" && *room != "cli")
        {
            let edge = ((*room).to_owned(), (*other).to_owned());
            if !used.contains(&edge) {
                idle.push(format!("{room} -> {other}"));
            }
        }
    }
    assert!(idle.is_empty(), "nobody needs: {}", idle.join(", "));
}

#[test]
fn the_domain_is_pure() {
    let never = regex::Regex::new(&DOMAIN_NEVER.join("|")).unwrap();
    let foreign = regex::Regex::new(r"(?m)^\s*(?:pub )?use (\w+)(?:::|;)").unwrap();
    let mut faults = Vec::new();
    for source in product().filter(|source| source.room() == Some("domain")) {
        for found in foreign.captures_iter(&source.code) {
            let name = &found[1];
            let own = ["crate", "self", "super"].contains(&name);
            if !own && !DOMAIN_CRATES.contains(&name) {
                faults.push(format!("{}: uses `{name}`", source.path));
            }
        }
        for found in never.find_iter(&source.code) {
            let line = source.line(found.start());
            faults.push(format!("{}:{line}: `{}`", source.path, found.as_str()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn floating_point_numbers_stay_where_they_have_a_reason() {
    let pattern = regex::Regex::new(r"\b(f32|f64|as_secs_f64|from_secs_f64)\b").unwrap();
    let strict = regex::Regex::new(r"\bf(32|64)\b").unwrap();
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for source in product() {
        // What a duration is called in a metric is converted where it is observed.
        let pattern = if source.room() == Some("domain") {
            &pattern
        } else {
            &strict
        };
        let Some(found) = pattern.find(&source.code) else {
            continue;
        };
        match FLOATS
            .iter()
            .find(|(place, _)| source.path.starts_with(place))
        {
            Some((place, _)) => {
                used.insert(*place);
            }
            None => faults.push(format!("{}:{}", source.path, source.line(found.start()))),
        }
    }
    for (place, reason) in FLOATS {
        if !used.contains(place) {
            faults.push(format!("{place} has no float any more ({reason})"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
