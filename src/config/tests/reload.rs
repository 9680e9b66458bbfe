//! What a changed file changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::diff::{Diff, diff};
use crate::config::watch::Watch;

const BASE: &str = "\
tenants:
  acme:
    probes:
      api: { tcp: { host: a, port: 1 }, every: 30s }
      db: { tcp: { host: b, port: 1 } }
    objectives:
      up: { probe: api, measure: availability, warning: below 50% }
      down: { probes: [api, db], measure: consecutive_failures, warning: at least 3 }
";

fn changed(old: &str, new: &str) -> (Diff, Vec<String>) {
    let diff = diff(&valid(old).spec, &valid(new).spec);
    let mut lines = Vec::new();
    for (what, changed) in [
        ("added", &diff.added),
        ("removed", &diff.removed),
        ("retuned", &diff.retuned),
        ("reshaped", &diff.reshaped),
    ] {
        lines.extend(changed.probes.iter().map(|id| format!("{what} probe {id}")));
        lines.extend(
            changed
                .objectives
                .iter()
                .map(|key| format!("{what} objective {key}")),
        );
    }
    (diff, lines)
}

#[test]
fn the_same_files_in_another_order_change_nothing() {
    let (diff, lines) = changed(BASE, &BASE.replace("every: 30s", "every: 30000ms"));
    assert!(diff.is_empty(), "{lines:?}");
}

#[test]
fn thresholds_and_intervals_retune_and_targets_and_measures_reshape() {
    let new = BASE
        .replace("below 50%", "below 40%")
        .replace("every: 30s", "every: 15s")
        .replace("host: b", "host: c");
    let (_, lines) = changed(BASE, &new);
    assert_eq!(
        lines,
        [
            "retuned probe acme/api",
            // Its default for silence follows the interval, within its own window: unchanged there.
            "retuned objective acme/up/api",
            "reshaped probe acme/db",
        ]
    );
    let (_, lines) = changed(
        BASE,
        &BASE
            .replace("measure: availability", "measure: error_ratio")
            .replace("below 50%", "above 50%"),
    );
    assert_eq!(lines, ["reshaped objective acme/up/api"]);
}

#[test]
fn a_renamed_objective_is_removed_and_added() {
    let (_, lines) = changed(
        BASE,
        &BASE
            .replace("      up:", "      availability:")
            .replace("[api, db]", "[db]"),
    );
    assert_eq!(
        lines,
        [
            "added objective acme/availability/api",
            "removed objective acme/down/api",
            "removed objective acme/up/api",
        ]
    );
}

/// Writes a version the way kubelet does: a new folder, then one rename of the link to it.
fn swap(root: &Path, version: &str, text: &str) {
    let folder = root.join(format!("..{version}"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), text).unwrap();
    let old = fs::read_link(root.join("..data")).ok();
    symlink(format!("..{version}"), root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    if !root.join("a.yaml").exists() {
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    }
    if let Some(old) = old {
        fs::remove_dir_all(root.join(old)).unwrap();
    }
}

/// Far below the poll of half a minute: what is noticed in time was noticed by its event.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_swap_of_a_mounted_configmap_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    swap(root, "v1", "tenants: { a: {} }\n");
    let first = load(root).unwrap_or_else(|report| panic!("{report}"));
    let mut watch = Watch::new(root, &first.hash);
    // A watch on the file itself would miss the second.
    for (version, tenant) in [("v2", "b"), ("v3", "c"), ("v4", "d")] {
        swap(root, version, &format!("tenants: {{ {tenant}: {{}} }}\n"));
        tokio::time::timeout(SOON, watch.changed()).await.unwrap();
        let config = load(root).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(
            config.spec.tenants.keys().next().unwrap().to_string(),
            tenant
        );
    }
}

#[tokio::test]
async fn a_touch_without_a_change_wakes_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, "tenants: {}\n").unwrap();
    let config = load(folder.path()).unwrap_or_else(|report| panic!("{report}"));
    let mut watch = Watch::new(folder.path(), &config.hash);
    fs::write(&file, "tenants: {}\n").unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(1), watch.changed()).await;
    assert!(woken.is_err(), "the contents are the same");
    fs::write(&file, "tenants: { a: {} }\n").unwrap();
    tokio::time::timeout(SOON, watch.changed()).await.unwrap();
}

#[tokio::test]
async fn a_change_before_the_watch_began_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, "tenants: {}\n").unwrap();
    let config = load(folder.path()).unwrap_or_else(|report| panic!("{report}"));
    fs::write(&file, "tenants: { a: {} }\n").unwrap();
    let mut watch = Watch::new(folder.path(), &config.hash);
    tokio::time::timeout(SOON, watch.changed()).await.unwrap();
}

#[tokio::test]
async fn new_folders_and_single_files_are_watched_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, "tenants: {}\n").unwrap();
    let config = load(folder.path()).unwrap_or_else(|report| panic!("{report}"));
    let mut watch = Watch::new(folder.path(), &config.hash);
    fs::create_dir(folder.path().join("more")).unwrap();
    fs::write(folder.path().join("more/b.yaml"), "tenants: { b: {} }\n").unwrap();
    tokio::time::timeout(SOON, watch.changed()).await.unwrap();
    fs::write(folder.path().join("more/b.yaml"), "tenants: { c: {} }\n").unwrap();
    tokio::time::timeout(SOON, watch.changed()).await.unwrap();

    let config = load(&file).unwrap_or_else(|report| panic!("{report}"));
    let mut watch = Watch::new(&file, &config.hash);
    // The way editors save: a new file under the old name.
    fs::write(folder.path().join("new"), "tenants: { d: {} }\n").unwrap();
    fs::rename(folder.path().join("new"), &file).unwrap();
    tokio::time::timeout(SOON, watch.changed()).await.unwrap();
}
