//! The example that ships must be right.

use std::path::Path;

use super::*;

#[test]
fn the_shipped_example_is_valid_and_without_lints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = load(&root).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(
        config.lints,
        vec![],
        "{}",
        report::human(&[], &config.lints)
    );
    assert_eq!(config.spec.tenants.len(), 2);
}

/// Codes of findings as they stand in the sources: the first word in quotes after these.
fn codes() -> std::collections::BTreeSet<String> {
    let pattern = regex::Regex::new(
        r#"(?:Note::fault|Note::lint|Self::fault|refused|refuse|fault)\(\s*(?:"[a-z_]+",\s*|key,\s*)?"([a-z]+(?:-[a-z]+)*)""#,
    )
    .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut codes = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            codes.extend(
                pattern
                    .captures_iter(&text)
                    .map(|found| found[1].to_owned()),
            );
        }
    }
    codes
}

#[test]
fn the_documentation_names_every_code() {
    let documentation = include_str!("../../../docs/configuration.md");
    let codes = codes();
    assert!(codes.len() >= 35, "the pattern finds them: {codes:?}");
    for code in codes {
        assert!(
            documentation.contains(&format!("`{code}`")),
            "`{code}` is not documented"
        );
    }
}

#[test]
fn the_documentation_names_every_key() {
    let pattern = regex::Regex::new(
        r#"\.(?:text|boolean|count|small|duration|positive|path|texts|list|entry|has|required|inner)\(\s*"([a-z_]+)""#,
    )
    .unwrap();
    let documentation = include_str!("../../../docs/configuration.md");
    let words: std::collections::BTreeSet<&str> = documentation
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for found in pattern.captures_iter(&text) {
                seen += 1;
                assert!(
                    words.contains(&found[1]),
                    "`{}` of {} is not documented",
                    &found[1],
                    path.display()
                );
            }
        }
    }
    assert!(seen >= 80, "the pattern finds them: {seen}");
}
