//! `/metrics`: what loops counted, and what stands now, collected when it is asked for.
//!
//! The registry speaks OpenMetrics. The older text format differs in little: counters are named with
//! their suffix in `# TYPE`, there are no units, no info type and no end mark; [`classic`] rewrites that.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::process::Process;
use super::server::App;
use super::shape::standing::tenants;
use crate::domain::alert::{AlertState, Verdict};
use crate::domain::objective::Severity;
use crate::domain::standing::{ObjectiveStanding, Trust, WorkloadStanding};
use crate::telemetry::metrics::Fraction;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names of the metrics that are collected at scrape, as they are scraped.
pub const NAMES: [&str; 16] = [
    "holdfast_objective_value",
    "holdfast_objective_state",
    "holdfast_alerts",
    "holdfast_ledger_revisions",
    "holdfast_build_info",
    "holdfast_config_info",
    "holdfast_config_faults",
    "holdfast_config_lints",
    "holdfast_cluster",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
    "process_start_time_seconds",
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectiveLabels {
    tenant: String,
    objective: String,
    probe: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectiveStateLabels {
    tenant: String,
    objective: String,
    probe: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    tenant: String,
    severity: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrustLabels {
    standing: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConfigLabels {
    hash: String,
}

type Number = Gauge<f64, AtomicU64>;

/// Everything, in the format that the Accept header prefers.
pub(super) async fn metrics(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut scraped = Registry::default();
    collect(&app, &mut scraped).await;
    let mut text = String::new();
    encode_registry(&mut text, &app.registry)
        .and_then(|()| encode_registry(&mut text, &scraped))
        .and_then(|()| encode_eof(&mut text))
        .map_err(|_| Problem::internal("the metrics could not be written"))?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    Ok(if wants_open_metrics(accept) {
        ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, CLASSIC)], classic(&text)).into_response()
    })
}

/// Whether OpenMetrics is accepted at least as gladly as plain text.
fn wants_open_metrics(accept: &str) -> bool {
    let quality = |media: &str| {
        accept
            .split(',')
            .filter_map(|part| {
                let mut words = part.split(';').map(str::trim);
                let matches = words.next()?.eq_ignore_ascii_case(media);
                let quality = words.find_map(|word| word.strip_prefix("q="));
                matches.then(|| quality.map_or(Some(1.0), |quality| quality.parse::<f64>().ok()))?
            })
            .fold(0.0_f64, f64::max)
    };
    let open = quality("application/openmetrics-text");
    open > 0.0 && open >= quality("text/plain")
}

async fn collect(app: &App, registry: &mut Registry) {
    let objectives = app.desk.objectives().await;
    let workloads = app.desk.workloads().await;
    let spec = app.desk.spec();
    collect_objectives(&objectives, registry);
    let names = tenants(&spec, &objectives, &[]);
    collect_alerts(
        names.iter().map(|tenant| tenant.tenant.as_str()),
        &objectives,
        registry,
    );
    collect_ledger(&workloads, registry);
    collect_own(app, registry);
    collect_process(&Process::read(), registry);
}

fn collect_objectives(objectives: &[ObjectiveStanding], registry: &mut Registry) {
    let values: Family<ObjectiveLabels, Number> = Family::default();
    let states: Family<ObjectiveStateLabels, Gauge> = Family::default();
    for standing in objectives {
        let (tenant, objective, probe) = (
            standing.key.tenant.to_string(),
            standing.key.objective.to_string(),
            standing.key.probe.to_string(),
        );
        let value = match standing.verdict {
            Verdict::Met(value) | Verdict::Breached(_, value) => value,
            Verdict::Inconclusive(_) => None,
        };
        for state in [
            AlertState::Inactive,
            AlertState::Pending,
            AlertState::Firing,
        ] {
            let labels = ObjectiveStateLabels {
                tenant: tenant.clone(),
                objective: objective.clone(),
                probe: probe.clone(),
                state: state.as_str(),
            };
            states
                .get_or_create(&labels)
                .set(i64::from(standing.state == state));
        }
        if let Some(value) = value {
            let labels = ObjectiveLabels {
                tenant,
                objective,
                probe,
            };
            values.get_or_create(&labels).set(value.get());
        }
    }
    registry.register(
        "holdfast_objective_value",
        "What the objective measures now; absent while nothing can be said",
        values,
    );
    registry.register(
        "holdfast_objective_state",
        "1 for the state in which the objective's alert is",
        states,
    );
}

fn collect_alerts<'a>(
    tenants: impl Iterator<Item = &'a str>,
    objectives: &[ObjectiveStanding],
    registry: &mut Registry,
) {
    let alerts: Family<AlertLabels, Gauge> = Family::default();
    for tenant in tenants {
        for severity in Severity::ALL {
            for state in [AlertState::Pending, AlertState::Firing] {
                // Made at 0, so that a rule can tell "none" from "not scraped".
                drop(alerts.get_or_create(&AlertLabels {
                    tenant: tenant.to_owned(),
                    severity: severity.as_str(),
                    state: state.as_str(),
                }));
            }
        }
    }
    for standing in objectives {
        if let (AlertState::Pending | AlertState::Firing, Some(severity)) =
            (standing.state, standing.severity)
        {
            alerts
                .get_or_create(&AlertLabels {
                    tenant: standing.key.tenant.to_string(),
                    severity: severity.as_str(),
                    state: standing.state.as_str(),
                })
                .inc();
        }
    }
    registry.register("holdfast_alerts", "Open alerts", alerts);
}

fn collect_ledger(workloads: &[WorkloadStanding], registry: &mut Registry) {
    let revisions: Family<TrustLabels, Gauge> = Family::default();
    for trust in Trust::ALL {
        let count = workloads
            .iter()
            .flat_map(|workload| &workload.ledger)
            .filter(|entry| entry.trust == trust)
            .count();
        let labels = TrustLabels {
            standing: trust.as_str(),
        };
        revisions
            .get_or_create(&labels)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register(
        "holdfast_ledger_revisions",
        "Revisions in the ledger by how far they are trusted",
        revisions,
    );
}

fn collect_own(app: &App, registry: &mut Registry) {
    let config = app.desk.config();
    let build: Family<BuildLabels, Gauge> = Family::default();
    build
        .get_or_create(&BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
        })
        .set(1);
    registry.register("holdfast_build_info", "The version that runs", build);
    let hash: Family<ConfigLabels, Gauge> = Family::default();
    hash.get_or_create(&ConfigLabels { hash: config.hash })
        .set(1);
    registry.register(
        "holdfast_config_info",
        "Digest of the configuration files in force",
        hash,
    );
    number(
        registry,
        "holdfast_config_faults",
        "Faults that the last reload found; 0 if it was successful",
        Some(config.faults.len() as f64),
    );
    number(
        registry,
        "holdfast_config_lints",
        "Lints of the configuration in force",
        Some(config.lints.len() as f64),
    );
    number(
        registry,
        "holdfast_cluster",
        "1 if there is a cluster to act on",
        Some(f64::from(u8::from(app.desk.health().cluster))),
    );
}

fn number(registry: &mut Registry, name: &str, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        let gauge = Fraction::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
}

fn collect_process(process: &Process, registry: &mut Registry) {
    if let Some(seconds) = process.cpu_seconds {
        let counter: Counter<f64, AtomicU64> = Counter::default();
        counter.inc_by(seconds);
        registry.register("process_cpu_seconds", "User and system time used", counter);
    }
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory",
            process.resident_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory",
            process.virtual_bytes,
        ),
        (
            "process_open_fds",
            "Open file descriptors",
            process.open_fds,
        ),
        (
            "process_max_fds",
            "Limit of open file descriptors",
            process.max_fds,
        ),
        ("process_threads", "Threads", process.threads),
        (
            "process_start_time_seconds",
            "Start of the process since the epoch",
            process.start_seconds,
        ),
    ] {
        number(registry, name, help, value);
    }
}

/// OpenMetrics in the older text format.
fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT") || line == "# EOF" {
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            // The type stands on the next line and says how the family is called here.
            let kind = lines
                .peek()
                .and_then(|next| next.strip_prefix("# TYPE "))
                .and_then(|rest| rest.split_once(' '))
                .map_or("", |(_, kind)| kind);
            let (name, words) = help.split_once(' ').unwrap_or((help, ""));
            out.push_str(&format!("# HELP {name}{} {words}\n", suffix(kind)));
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let older = match kind {
                "unknown" => "untyped",
                "info" | "stateset" => "gauge",
                other => other,
            };
            out.push_str(&format!("# TYPE {name}{} {older}\n", suffix(kind)));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn suffix(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_decides_the_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        assert!(wants_open_metrics(prometheus));
        assert!(wants_open_metrics("application/openmetrics-text"));
        assert!(!wants_open_metrics(""));
        assert!(!wants_open_metrics("*/*"));
        assert!(!wants_open_metrics("text/html, text/plain"));
        assert!(!wants_open_metrics("application/openmetrics-text;q=0"));
        assert!(!wants_open_metrics(
            "application/openmetrics-text;q=0.3, text/plain;q=0.9"
        ));
    }

    #[test]
    fn the_older_format_names_counters_with_their_suffix() {
        let open = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total{x=\"# EOF\"} 3\n# HELP c Now.\n\
                    # TYPE c gauge\n# UNIT c seconds\nc 1\n# EOF\n";
        assert_eq!(
            classic(open),
            "# HELP a_b_total Things.\n# TYPE a_b_total counter\na_b_total{x=\"# EOF\"} 3\n\
             # HELP c Now.\n# TYPE c gauge\nc 1\n"
        );
    }
}
