//! `/metrics` in both formats, the documentation of the metrics, and the rules about Holdfast itself.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;

use super::Asker;
use crate::http::SCRAPED;
use crate::telemetry::metrics;

/// The families of a scrape by name, and every line checked against the format.
fn families(text: &str) -> BTreeSet<String> {
    let mut families = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} stands twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            let name = series.split('{').next().unwrap();
            let known = families.iter().any(|family| {
                name.strip_prefix(family.as_str())
                    .is_some_and(|rest| ["", "_total", "_bucket", "_sum", "_count"].contains(&rest))
            });
            assert!(known, "{line} belongs to no family");
        }
    }
    families
}

#[tokio::test]
async fn both_formats_parse_and_say_the_same() {
    let asker = Asker::afternoon().await;
    let classic = asker.get("/metrics").await;
    assert!(
        classic.kind.starts_with("text/plain; version=0.0.4"),
        "{}",
        classic.kind
    );
    assert!(!classic.text.contains("# EOF"));
    let request = Request::get("/metrics")
        .header("accept", "application/openmetrics-text;version=1.0.0")
        .body(Body::empty())
        .unwrap();
    let open = asker.send(request, "192.0.2.7:1").await;
    assert!(
        open.kind.starts_with("application/openmetrics-text"),
        "{}",
        open.kind
    );
    assert!(open.text.ends_with("# EOF\n"));
    let plain = |name: &String| name.trim_end_matches("_total").to_owned();
    assert_eq!(
        families(&classic.text)
            .iter()
            .map(plain)
            .collect::<BTreeSet<_>>(),
        families(&open.text)
    );
    for line in [
        r#"holdfast_objective_value{tenant="globex",objective="response-time",probe="api"} 2.84"#,
        r#"holdfast_objective_state{tenant="globex",objective="response-time",probe="api",state="firing"} 1"#,
        r#"holdfast_objective_state{tenant="acme",objective="error-rate",probe="traffic",state="firing"} 0"#,
        r#"holdfast_alerts{tenant="globex",severity="critical",state="firing"} 1"#,
        r#"holdfast_alerts{tenant="acme",severity="info",state="pending"} 0"#,
        r#"holdfast_ledger_revisions{standing="proven"} 2"#,
        r#"holdfast_ledger_revisions{standing="blamed"} 0"#,
        r#"holdfast_config_info{hash="3fa94c1e77d0"} 1"#,
        "holdfast_probe_missed_ticks_total 1",
    ] {
        assert!(classic.text.contains(line), "{line}\n{}", classic.text);
    }
    assert!(
        !classic
            .text
            .contains(r#"holdfast_objective_value{tenant="globex",objective="error-rate""#),
        "what cannot be judged has no value"
    );
}

#[tokio::test]
async fn everything_that_is_scraped_has_a_name_in_the_list() {
    let asker = Asker::afternoon().await;
    let families = families(&asker.get("/metrics").await.text);
    let known = known();
    for family in &families {
        assert!(known.contains(family), "{family}");
    }
    for name in SCRAPED {
        assert!(families.contains(name), "{name} is never scraped");
    }
}

/// Words in a text that look like names of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let pattern = regex::Regex::new(r"\b(?:holdfast|probe|process)_[a-z_]*[a-z]\b").unwrap();
    pattern
        .find_iter(text)
        .map(|found| found.as_str().to_owned())
        .collect()
}

fn known() -> BTreeSet<String> {
    metrics::names()
        .into_iter()
        .chain(SCRAPED.map(ToOwned::to_owned))
        .collect()
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let text = include_str!("../../../docs/metrics.md");
    let rows: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| Some(line.split('`').next()?.split('{').next()?.to_owned()))
        .collect();
    assert_eq!(rows, known());
}

#[test]
fn the_rules_speak_of_metrics_that_exist() {
    let rules = include_str!("../../../dashboards/holdfast-rules.yaml");
    let known = known();
    let used = named(rules);
    assert!(used.len() > 8, "{used:?}");
    for name in used {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| known.contains(*family))
            .unwrap_or(&name);
        assert!(known.contains(family), "{name}");
    }
}
