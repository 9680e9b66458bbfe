//! Files that are hostile, huge or damaged: an answer, never a crash.

use super::*;

#[test]
fn a_few_lines_of_aliases_cannot_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let told = report(&text);
    assert!(told.contains("error[too-large]"), "{told}");
}

#[test]
fn aliases_cannot_nest_deeper_than_what_is_written() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..900 {
        text.push_str(&format!("a{level}: &a{level} [[[[[*a{}]]]]]\n", level - 1));
    }
    let told = report(&text);
    assert!(
        told.contains("error[too-large]: aliases nest deeper than 32"),
        "{told}"
    );
}

#[test]
fn deep_nesting_is_a_fault_and_not_a_crash() {
    let told = report(&"[".repeat(100_000));
    assert!(told.contains("error[yaml]"), "{told}");
}

#[test]
fn a_file_larger_than_the_limit_is_refused() {
    let told = directory(&[("a.yaml", &format!("# {}\n", "x".repeat(5 * 1024 * 1024)))]);
    assert!(
        told.contains("error[unreadable]: is larger than 4 MiB"),
        "{told}"
    );
}

#[test]
fn a_file_cannot_steer_the_terminal_that_shows_it() {
    let told = report("\"x\\u001b[31m\": 1\n");
    assert!(!told.contains('\u{1b}'), "{told:?}");
}

/// The shipped example as one text, so that small damage reaches every reader.
fn example() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    ["plans", "tenants", "alerting", "holdfast"]
        .map(|name| std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap())
        .join("\n---\n")
}

proptest::proptest! {
    /// Whatever a slip of the keyboard does to a good file: an answer, never a panic; and faults have places.
    #[test]
    fn any_damage_gives_a_configuration_or_a_report(
        slips in proptest::collection::vec((0_usize..6_000, 0_usize..40, "[ -~\\n]{0,6}"), 1..4)
    ) {
        let mut text: Vec<char> = example().chars().collect();
        for (at, length, insert) in slips {
            let from = at.min(text.len());
            let to = (from + length).min(text.len());
            text.splice(from..to, insert.chars());
        }
        let text: String = text.into_iter().collect();
        match load_text("t.yaml", &text) {
            Ok(config) => {
                let shown = show::yaml(&config.spec, &config.settings);
                proptest::prop_assert!(load_text("shown.yaml", &shown).is_ok(), "{}", shown);
            }
            Err(report) => {
                proptest::prop_assert!(!report.faults.is_empty());
                for fault in &report.faults {
                    proptest::prop_assert!(fault.spot.line >= 1, "{:?}", fault);
                    proptest::prop_assert!(fault.spot.line <= text.split('\n').count() + 1);
                }
                proptest::prop_assert!(report.to_string().ends_with("lints\n") || report.to_string().ends_with("lint\n"));
            }
        }
    }
}
