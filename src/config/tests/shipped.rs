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
