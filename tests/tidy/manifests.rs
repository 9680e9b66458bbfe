//! What is installed: manifests, the shipped configuration, migrations, the image.

use std::collections::BTreeSet;

use super::source::{files, read, root};

fn yaml_files() -> Vec<String> {
    let folders = ["k8s", "config", "dashboards"];
    let all = folders.iter().flat_map(|folder| files(folder));
    all.filter(|path| path.ends_with(".yaml") || path.ends_with("Kustomization"))
        .collect()
}

#[test]
fn every_manifest_is_yaml() {
    let paths = yaml_files();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        let text = read(&path);
        for event in granit_parser::Parser::new_from_str(&text) {
            assert!(event.is_ok(), "{path}: {:?}", event.err());
        }
    }
}

#[test]
fn the_shipped_configuration_passes_check() {
    let config = match holdfast::config::load(&root().join("config")) {
        Ok(config) => config,
        Err(report) => panic!(
            "{}",
            holdfast::config::report::human(&report.faults, &report.lints)
        ),
    };
    assert!(config.lints.is_empty(), "{:?}", config.lints);
    assert!(config.spec.tenants.len() > 1, "an example shows something");
}

/// A file that is forgotten here would never be in the cluster.
#[test]
fn the_config_map_carries_every_threshold_file() {
    let listed: BTreeSet<String> = read("config/Kustomization")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter(|entry| entry.ends_with(".yaml"))
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<String> = files("config")
        .iter()
        .filter_map(|path| path.strip_prefix("config/"))
        .filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, there);
    assert!(read("k8s/kustomization.yaml").contains("- ../config"));
}

#[test]
fn the_base_lists_every_manifest() {
    let base = read("k8s/kustomization.yaml");
    for path in files("k8s").iter().filter(|path| path.ends_with(".yaml")) {
        let name = path.trim_start_matches("k8s/");
        assert!(
            name == "kustomization.yaml" || base.contains(&format!("- {name}")),
            "{name}"
        );
    }
}

/// Secrets that threshold files name have a place in the pod.
#[test]
fn secrets_of_the_shipped_configuration_are_mounted() {
    let pattern = regex::Regex::new(r"_file: /etc/holdfast/(secrets/[\w-]+)").unwrap();
    let deployment = read("k8s/deployment.yaml");
    let mut seen = 0;
    for path in files("config") {
        for found in pattern.captures_iter(&read(&path)) {
            seen += 1;
            assert!(
                deployment.contains(&format!("path: {}", &found[1])),
                "{path}: {}",
                &found[1]
            );
        }
    }
    assert!(seen > 0, "the pattern no longer finds anything");
}

#[test]
fn versions_agree() {
    let cargo = read("Cargo.toml");
    let value = |key: &str| {
        let line = cargo
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        line.and_then(|line| line.split('"').nth(1))
            .unwrap_or_default()
            .to_owned()
    };
    let version = value("version");
    assert!(
        read("k8s/kustomization.yaml").contains(&format!("newTag: {version}")),
        "{version}"
    );
    assert!(read("CHANGELOG.md").contains("## Unreleased"));
    let image = format!("FROM rust:{}-", value("rust-version"));
    assert!(read("k8s/Dockerfile").contains(&image), "{image}");
    assert!(read("LICENSE").contains("Apache License") && value("license") == "Apache-2.0");
}

#[test]
fn the_kubelet_asks_for_what_is_answered() {
    let deployment = read("k8s/deployment.yaml");
    let asked = regex::Regex::new(r"httpGet: \{ path: (\S+), port").unwrap();
    let paths: BTreeSet<&str> = asked
        .captures_iter(&deployment)
        .map(|c| c.extract::<1>().1[0])
        .collect();
    assert_eq!(paths, BTreeSet::from(["/livez", "/readyz"]));
    let routes = read("src/http/routes.rs");
    for path in paths {
        assert!(routes.contains(&format!("get \"{path}\" =>")), "{path}");
    }
    let port = holdfast::config::load_text("empty.yaml", "tenants: {}\n");
    let port = port
        .expect("an empty configuration is one")
        .settings
        .listen
        .port();
    assert!(
        deployment.contains(&format!("containerPort: {port}")),
        "{port}"
    );
}

/// 0001, 0002, …: no gap, no number twice, the same numbers for every backend.
#[test]
fn migrations_are_numbered_without_gaps() {
    let backends: BTreeSet<String> = files("migrations")
        .iter()
        .filter_map(|path| {
            Some(
                path.strip_prefix("migrations/")?
                    .split_once('/')?
                    .0
                    .to_owned(),
            )
        })
        .collect();
    assert!(backends.contains("sqlite"), "{backends:?}");
    for backend in backends {
        let names = files(&format!("migrations/{backend}"));
        assert!(!names.is_empty());
        for (number, path) in (1..).zip(&names) {
            let begin = format!("migrations/{backend}/{number:04}_");
            assert!(
                path.starts_with(&begin) && path.ends_with(".sql"),
                "{path}: expected {begin}…"
            );
        }
    }
}
