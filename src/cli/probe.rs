//! `holdfast probe TENANT/PROBE`: one look now, phase by phase, and why the outcome is what it is.
//!
//! It looks from where it is typed, with the same code as the daemon, and tells nobody: nothing is
//! judged, nothing remembered. What only the daemon knows (counters at the look before, heartbeats) it
//! says it does not know.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config;
use crate::domain::id::ProbeId;
use crate::domain::observation::{Fault, Observation};
use crate::domain::sample::{Blind, Outcome, Reading, Sample};
use crate::domain::sight::{SelfChecks, Sight};
use crate::domain::spec::Spec;
use crate::domain::target::{
    CounterPart, EmptyResult, HttpTarget, Probe, PrometheusForm, PrometheusTarget, Target,
};
use crate::domain::time::Spelled;
use crate::probe::means::Means;
use crate::probe::selfcheck::{SelfCheck, nameserver};
use crate::probe::{self, Kept};

/// The target failed.
const BAD: u8 = 5;
/// Nothing is known about the target.
const VOID: u8 = 6;

/// Where the system's resolver is told whom to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Look once at a probe's target and explain the outcome
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which probe
    #[arg(value_name = "TENANT/PROBE")]
    pub probe: ProbeId,
    /// A directory or a file
    #[arg(long, default_value = "/etc/holdfast")]
    pub config: PathBuf,
    /// How to print what came back
    #[arg(long, value_enum, default_value = "human")]
    pub output: Output,
}

/// How to print what came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// One object.
    Json,
}

/// Runs the command on a runtime of its own.
///
/// # Errors
/// If there is no such probe, or standard output cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        probe: id,
        config,
        output,
    } = args;
    let spec = match config::load(&config) {
        Ok(config) => config.spec,
        Err(report) => {
            std::io::stderr()
                .write_all(report.to_string().as_bytes())
                .context("failed to write the report")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let probe = find(&spec, &id)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let (observation, sample) = runtime.block_on(look(probe));
    // A lookup that hangs in the system's resolver would keep the process for as long as it likes.
    runtime.shutdown_background();
    let text = match output {
        Output::Human => explain(probe, &observation, &sample),
        Output::Json => format!("{:#}\n", json(probe, &observation, &sample)),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("failed to write the outcome")?;
    Ok(match sample.outcome() {
        Outcome::Good => ExitCode::SUCCESS,
        Outcome::Bad => ExitCode::from(BAD),
        Outcome::Void => ExitCode::from(VOID),
    })
}

fn find<'a>(spec: &'a Spec, id: &ProbeId) -> anyhow::Result<&'a Arc<Probe>> {
    spec.probe(id)
        .with_context(|| match spec.tenants.get(&id.tenant) {
            Some(tenant) => {
                let known: Vec<_> = tenant.probes.keys().map(ToString::to_string).collect();
                format!(
                    "there is no probe {id}; the probes of {} are: {}",
                    id.tenant,
                    known.join(", ")
                )
            }
            None => format!("there is no tenant {}", id.tenant),
        })
}

async fn look(probe: &Probe) -> (Observation, Sample) {
    let now = Clock::system().now();
    let kept = Kept::anew(&probe.target, now);
    let observation = probe::build(probe, &Means::system(), &kept).look(now).await;
    let checks = if Sight::needs_self_check(&observation) {
        SelfCheck::new(None, nameserver(Path::new(RESOLV_CONF)))
            .look()
            .await
    } else {
        SelfChecks::default()
    };
    let sample = Sight::see(&observation, checks);
    (observation, sample)
}

/// The look, phase by phase: what was done, how long each phase took, what was expected, the outcome and
/// the rule behind it.
#[must_use]
pub fn explain(probe: &Probe, observation: &Observation, sample: &Sample) -> String {
    let mut lines = vec![
        format!("{}: {}", probe.id, target(&probe.target)),
        String::new(),
    ];
    let failed = observation.result.as_ref().err();
    for (index, (stage, took)) in observation.stages.iter().enumerate() {
        let mark = match failed {
            Some(fault) if index + 1 == observation.stages.len() => format!("  <- {fault}"),
            _ => String::new(),
        };
        lines.push(format!("  {:<11}{:>12}{mark}", stage.as_str(), time(*took)));
    }
    lines.push(format!(
        "  {:<11}{:>12}  of {}",
        "in all",
        time(observation.took),
        Spelled(probe.timeout)
    ));
    lines.push(String::new());
    lines.push(format!("expected  {}", expected(&probe.target)));
    lines.push(format!("outcome   {}", outcome(sample, failed)));
    lines.push(format!("because   {}", because(probe, sample, failed)));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn target(target: &Target) -> String {
    match target {
        Target::Http(http) => format!("http {} {}", http.method, http.url),
        Target::Tcp(tcp) => format!("tcp {}:{}", tcp.host, tcp.port),
        Target::Prometheus(PrometheusTarget { source, url, form }) => match form {
            PrometheusForm::Query { query, .. } => {
                format!("query `{query}` at {source} ({url})")
            }
            PrometheusForm::Counters { total, part, .. } => {
                let (CounterPart::Bad(part) | CounterPart::Good(part)) = part;
                format!("counters `{total}` and `{part}` at {source} ({url})")
            }
        },
        Target::Heartbeat(_) => "heartbeat".to_owned(),
    }
}

fn expected(target: &Target) -> String {
    match target {
        Target::Http(http) => expected_answer(http),
        Target::Tcp(_) => "a connection".to_owned(),
        Target::Prometheus(prometheus) => match &prometheus.form {
            PrometheusForm::Query { empty, .. } => {
                let meaning = match empty {
                    EmptyResult::Void => "void",
                    EmptyResult::Good => "good",
                    EmptyResult::Bad => "bad",
                };
                format!("one number; no result is {meaning}")
            }
            PrometheusForm::Counters { .. } => "counters".to_owned(),
        },
        Target::Heartbeat(heartbeat) => {
            format!("a beat every {}", Spelled(heartbeat.max_age))
        }
    }
}

fn expected_answer(http: &HttpTarget) -> String {
    let expect = &http.expect;
    let range = |(from, to): &(u16, u16)| {
        if from == to {
            from.to_string()
        } else {
            format!("{from}-{to}")
        }
    };
    let status: Vec<_> = expect.status.iter().map(range).collect();
    let mut text = match status.as_slice() {
        [] => "status 200-299".to_owned(),
        ranges => format!("status {}", ranges.join(" or ")),
    };
    let mut add = |what: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let written = write!(text, "; {what}");
        debug_assert!(written.is_ok());
    };
    for (name, pattern) in &expect.headers {
        add(format_args!("header `{name}` matches `{pattern}`"));
    }
    if let Some(part) = &expect.body_contains {
        add(format_args!("the body contains `{part}`"));
    }
    if let Some(pattern) = &expect.body_matches {
        add(format_args!("the body matches `{pattern}`"));
    }
    for (path, scalar) in &expect.json {
        add(format_args!("`{}` is {}", path.0.join("."), scalar.0));
    }
    if let Some(path) = &http.value {
        add(format_args!("a number at `{}`", path.0.join(".")));
    }
    text
}

fn outcome(sample: &Sample, fault: Option<&Fault>) -> String {
    let word = sample.outcome().as_str();
    match (&sample.reading, fault) {
        (Reading::Look { why: Some(why), .. }, _) => format!("{word}: {why}"),
        (
            Reading::Look {
                value: Some(value), ..
            },
            _,
        ) => format!("{word}, value {value}"),
        (Reading::Counts(split), _) => format!(
            "{word}: {} events, {} of them bad",
            split.total.valid(),
            split.total.bad
        ),
        (Reading::Void(_), Some(fault)) => format!("{word}: {fault}"),
        (Reading::Look { .. } | Reading::Void(_), _) => word.to_owned(),
    }
}

fn because(probe: &Probe, sample: &Sample, fault: Option<&Fault>) -> String {
    match (&sample.reading, fault) {
        (Reading::Counts(_), _) => {
            "the counters could be read; a first look is a baseline, the daemon counts from one look \
             to the next"
                .to_owned()
        }
        (Reading::Look { good: true, .. }, _) => "everything was as expected".to_owned(),
        (
            Reading::Look { good: false, .. },
            Some(Fault::Refused | Fault::Reset | Fault::TimedOut | Fault::Unreachable),
        ) => "the target gave no answer, and nothing says that Holdfast itself is cut off".to_owned(),
        (Reading::Look { good: false, .. }, _) => {
            "the target answered, and an answer is never void".to_owned()
        }
        (Reading::Void(blind), _) => blindness(probe, blind),
    }
}

fn blindness(probe: &Probe, blind: &Blind) -> String {
    match blind {
        Blind::Source(source) => {
            format!("the source {source} failed, which says nothing about the tenant")
        }
        Blind::Network => {
            "no self-check of Holdfast's own network passed in the same moment".to_owned()
        }
        Blind::Resolver => {
            "the resolver gave no answer, so nobody got as far as the target".to_owned()
        }
        Blind::Local => "it is Holdfast's own fault, not the target's".to_owned(),
        Blind::Empty if matches!(probe.target, Target::Heartbeat(_)) => {
            "beats come to the running daemon; only it knows of them".to_owned()
        }
        Blind::Empty => "the source has nothing to say about the target".to_owned(),
    }
}

/// Milliseconds below a second, seconds above.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.3} s")
    }
}

fn json(probe: &Probe, observation: &Observation, sample: &Sample) -> serde_json::Value {
    let fault = observation.result.as_ref().err();
    let stages: Vec<_> = observation
        .stages
        .iter()
        .map(|(stage, took)| {
            serde_json::json!({ "stage": stage.as_str(), "seconds": took.as_secs_f64() })
        })
        .collect();
    let (value, counts) = match &sample.reading {
        Reading::Look { value, .. } => (value.map(|value| value.get()), None),
        Reading::Counts(split) => (
            None,
            Some(serde_json::json!({ "good": split.total.good, "bad": split.total.bad })),
        ),
        Reading::Void(_) => (None, None),
    };
    serde_json::json!({
        "probe": probe.id.to_string(),
        "kind": probe.target.kind(),
        "outcome": sample.outcome().as_str(),
        "at": observation.span.to.to_string(),
        "reached": observation.reached.as_str(),
        "stages": stages,
        "took_seconds": observation.took.as_secs_f64(),
        "timeout_seconds": probe.timeout.as_secs_f64(),
        "expected": expected(&probe.target),
        "fault": fault.map(ToString::to_string),
        "because": because(probe, sample, fault),
        "value": value,
        "counts": counts,
    })
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
