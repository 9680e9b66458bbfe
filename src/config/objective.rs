//! `objectives:` of plans and tenants to valid objectives, one for each probe they name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::condition;
use super::defaults::Defaults;
use super::lint;
use super::near;
use super::probe::labels;
use super::read::Fields;
use super::sink::{Note, Place, Sink};
use super::yaml::Entry;
use crate::domain::id::{AlertKey, Name, TenantId};
use crate::domain::objective::{Comparison, Condition, Measure, NoData, Objective, Severity};
use crate::domain::target::{Probe, PrometheusForm, Target};
use crate::domain::time::Spelled;

/// Looks that a quantile is taken of at most: each is kept on its own.
const QUANTILE_LOOKS_MAX: u128 = 16_384;

/// Fewest events of a ratio or a quantile, unless the window can hold fewer.
const SAMPLES_MIN: u64 = 5;

const MEASURES: [(&str, Measure); 9] = [
    ("availability", Measure::Availability),
    ("error_ratio", Measure::ErrorRatio),
    ("p50", Measure::Quantile(500)),
    ("p90", Measure::Quantile(900)),
    ("p95", Measure::Quantile(950)),
    ("p99", Measure::Quantile(990)),
    ("p999", Measure::Quantile(999)),
    ("value", Measure::Value),
    ("consecutive_failures", Measure::ConsecutiveFailures),
];

const MEASURES_LATER: [&str; 6] = ["value_mean", "value_min", "value_max", "mean", "max", "age"];

/// Fields that have a default, and may stand in `defaults.objective`.
#[derive(Clone, Debug, Default)]
pub(super) struct Retained {
    /// The trailing span.
    pub over: Option<Duration>,
    /// How long a breach lasts before it fires.
    pub wait: Option<Duration>,
    /// How long it goes on firing.
    pub keep_firing: Option<Duration>,
    /// Fewest events.
    pub samples_min: Option<u64>,
    /// What silence means.
    pub no_data: Option<NoData>,
    /// How long a silence is one.
    pub no_data_after: Option<Duration>,
    /// Page that says what to do.
    pub runbook: Option<String>,
    /// On every alert.
    pub labels: BTreeMap<String, String>,
}

// === impl Retained ===

impl Retained {
    /// Fills what is missing from another.
    pub(super) fn or(self, other: &Self) -> Self {
        let mut labels = other.labels.clone();
        labels.extend(self.labels);
        Self {
            over: self.over.or(other.over),
            wait: self.wait.or(other.wait),
            keep_firing: self.keep_firing.or(other.keep_firing),
            samples_min: self.samples_min.or(other.samples_min),
            no_data: self.no_data.or(other.no_data),
            no_data_after: self.no_data_after.or(other.no_data_after),
            runbook: self.runbook.or_else(|| other.runbook.clone()),
            labels,
        }
    }
}

/// Reads the fields that have defaults.
pub(super) fn retained(fields: &Fields<'_>) -> Retained {
    let samples_min = fields.count("min_samples");
    if samples_min == Some(0) {
        fields.refuse(
            "min_samples",
            "bad-value",
            "`min_samples` is at least 1".to_owned(),
        );
    }
    let no_data = fields.text("no_data").and_then(|text| match text {
        "keep" => Some(NoData::Keep),
        "warning" => Some(NoData::Raise(Severity::Warning)),
        "critical" => Some(NoData::Raise(Severity::Critical)),
        _ => {
            let message = "`no_data` is keep, warning or critical".to_owned();
            fields.refuse("no_data", "bad-value", message);
            None
        }
    });
    Retained {
        over: fields.positive("over"),
        wait: fields.duration("for"),
        keep_firing: fields.duration("keep_firing_for"),
        samples_min: samples_min.map(|count| count.max(1)),
        no_data,
        no_data_after: fields.positive("no_data_after"),
        runbook: fields.text("runbook").map(str::to_owned),
        labels: labels(fields),
    }
}

/// What an objective is read against.
pub(super) struct Around<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// The tenant's labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Names of all probes it declares, also of those that are faulty.
    pub declared: &'a [String],
    /// The valid ones.
    pub probes: &'a BTreeMap<Name, Arc<Probe>>,
    /// The tenant itself wrote (part of) the objective, so its probe must exist.
    pub own: bool,
    /// Fallbacks.
    pub defaults: &'a Defaults,
    /// Collects faults.
    pub sink: &'a Sink,
}

/// What came of one entry.
#[derive(Default)]
pub(super) struct ReadObjective {
    /// One for each probe.
    pub objectives: Vec<Objective>,
    /// Probes it names that this tenant does not have: no fault if a plan wrote it.
    pub absent: Vec<(String, Place)>,
    /// Where the probes are named that it has.
    pub present: Vec<Place>,
}

/// Reads one objective.
pub(super) fn read(entry: &Entry, name: &Name, around: &Around<'_>) -> ReadObjective {
    let sink = around.sink;
    let mut result = ReadObjective::default();
    let what = format!("objective `{name}`");
    let Some(fields) = Fields::open(&entry.value, entry.place, what, sink) else {
        return result;
    };
    fields.boolean("enabled");
    let later = fields.later(&["target", "burn_rates", "regression", "false_alarm"]);
    if later {
        fields.has("period");
    }
    let probes = probes(&fields, around, &mut result);
    let measure = measure(&fields, later);
    let retained = retained(&fields);
    let rollback = fields.boolean("rollback").unwrap_or(false);
    let summary = fields.text("summary").map(str::to_owned);
    for key in ["info", "warning", "critical", "recover"] {
        fields.has(key);
    }
    if let Some(measure) = measure {
        for probe in probes {
            let single = Single {
                fields: &fields,
                measure,
                probe: &probe,
                around,
            };
            if let Some(mut objective) = single.read(name, &retained) {
                objective.rollback = rollback;
                objective.summary.clone_from(&summary);
                lint::objective(&fields, &objective, &probe);
                result.objectives.push(objective);
            }
        }
    }
    if rollback && !later && !fields.has("critical") {
        let place = fields
            .entry("rollback")
            .map_or(entry.place, |entry| entry.place);
        let message = format!("objective `{name}` has no `critical` to roll back on");
        sink.note(Note::fault("trigger-without-critical", place, message));
    }
    fields.done();
    result
}

fn measure(fields: &Fields<'_>, later: bool) -> Option<Measure> {
    let Some(entry) = fields.entry("measure") else {
        if !later {
            let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
            fields.missing("measure", &format!("one of {}", names.join(", ")));
        }
        return None;
    };
    let text = fields.text("measure")?;
    let found = MEASURES.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let place = entry.value.place;
        fields.sink().note(if MEASURES_LATER.contains(&text) {
            Note::later(text, place)
        } else {
            let hint = near::hint(text, MEASURES.iter().map(|(name, _)| *name));
            Note::fault("bad-value", place, format!("there is no measure `{text}`")).hint_if(hint)
        });
    }
    found.map(|(_, measure)| *measure)
}

fn probes(fields: &Fields<'_>, around: &Around<'_>, result: &mut ReadObjective) -> Vec<Arc<Probe>> {
    let one = fields
        .entry("probe")
        .and_then(|entry| Some((fields.text("probe")?, entry.value.place)));
    let many = fields.list("probes");
    if fields.has("probe") && fields.has("probes") {
        let message = "`probe` and `probes` exclude each other".to_owned();
        fields.refuse("probes", "bad-value", message);
    } else if !fields.has("probe") && !fields.has("probes") {
        fields.missing("probe", "name the probe it judges");
    }
    let mut named = many.unwrap_or_default();
    named.extend(one);
    let mut found: Vec<Arc<Probe>> = Vec::new();
    for (name, place) in named {
        let probe = Name::try_new(name)
            .ok()
            .and_then(|name| around.probes.get(&name));
        if let Some(probe) = probe {
            if found.iter().any(|known| known.id == probe.id) {
                let message = format!("the probe `{name}` stands twice");
                fields.sink().note(Note::fault("bad-value", place, message));
                continue;
            }
            result.present.push(place);
            found.push(probe.clone());
        } else if !around.declared.iter().any(|declared| declared == name) {
            result.absent.push((name.to_owned(), place));
            if around.own {
                let message = format!("there is no probe `{name}`");
                let hint = near::hint(name, around.declared.iter().map(String::as_str));
                fields
                    .sink()
                    .note(Note::dangling(place, message).hint_if(hint));
            }
        }
    }
    found
}

/// One objective on one probe.
struct Single<'a> {
    fields: &'a Fields<'a>,
    measure: Measure,
    probe: &'a Probe,
    around: &'a Around<'a>,
}

// === impl Single ===

impl Single<'_> {
    fn read(&self, name: &Name, retained: &Retained) -> Option<Objective> {
        if let Some(why) = unmeasurable(self.measure, &self.probe.target) {
            let message = format!(
                "`{}` cannot be measured on probe `{}`: {why}",
                self.measure.name(),
                self.probe.id.probe
            );
            self.fields.refuse("measure", "never-true", message);
            return None;
        }
        let levels = self.levels();
        let recover = self.recover(&levels);
        let merged = retained.clone().or(&self.around.defaults.objective);
        let over = merged.over.unwrap_or_default();
        let every = self.probe.every;
        self.window(over);
        let samples_min = self.samples_min(over, merged.samples_min);
        let mut labels = self.around.labels.clone();
        labels.extend(self.probe.labels.clone());
        labels.extend(merged.labels);
        if levels.is_empty() {
            return None;
        }
        Some(Objective {
            key: AlertKey {
                tenant: self.around.tenant.clone(),
                objective: name.clone(),
                probe: self.probe.id.probe.clone(),
            },
            measure: self.measure,
            over,
            levels,
            wait: merged.wait.unwrap_or_default(),
            keep_firing: merged.keep_firing.unwrap_or_default(),
            recover,
            samples_min,
            no_data: merged.no_data.unwrap_or(NoData::Keep),
            no_data_after: merged.no_data_after.unwrap_or_else(|| over.max(every * 3)),
            rollback: false,
            runbook: merged.runbook,
            summary: None,
            labels: Arc::new(labels),
        })
    }

    fn levels(&self) -> Vec<(Severity, Condition)> {
        let slowest = Some(self.probe.timeout);
        let mut levels = Vec::new();
        let mut any = false;
        for (severity, key) in [
            (Severity::Critical, "critical"),
            (Severity::Warning, "warning"),
            (Severity::Info, "info"),
        ] {
            let Some(entry) = self.fields.entry(key) else {
                continue;
            };
            any = true;
            let sink = self.around.sink;
            if let Some(condition) = condition::read(&entry.value, key, self.measure, slowest, sink)
            {
                self.reachable(&levels, severity, condition, entry);
                levels.push((severity, condition));
            }
        }
        if !any {
            self.fields.missing(
                "critical",
                "or `warning`, or `info`, such as `critical: above 5%`",
            );
        }
        levels
    }

    /// A lower severity that begins where a higher one already holds is never seen.
    fn reachable(
        &self,
        levels: &[(Severity, Condition)],
        severity: Severity,
        condition: Condition,
        entry: &Entry,
    ) {
        for (higher, above) in levels {
            let upwards =
                |comparison| matches!(comparison, Comparison::Above | Comparison::AtLeast);
            let covered = match (upwards(above.comparison), upwards(condition.comparison)) {
                (true, true) => {
                    above.limit < condition.limit
                        || (above.limit == condition.limit
                            && (above.comparison == Comparison::AtLeast
                                || condition.comparison == Comparison::Above))
                }
                (false, false) => {
                    above.limit > condition.limit
                        || (above.limit == condition.limit
                            && (above.comparison == Comparison::AtMost
                                || condition.comparison == Comparison::Below))
                }
                _ => false,
            };
            if covered {
                let message = format!(
                    "`{severity}: {condition}` is never seen: `{higher}: {above}` is breached first"
                );
                self.around
                    .sink
                    .note(Note::fault("never-true", entry.value.place, message));
            }
        }
    }

    fn recover(&self, levels: &[(Severity, Condition)]) -> Option<Condition> {
        let entry = self.fields.entry("recover")?;
        let slowest = Some(self.probe.timeout);
        let recover = condition::read(
            &entry.value,
            "recover",
            self.measure,
            slowest,
            self.around.sink,
        )?;
        // A value that both recovers and breaches is the limit itself, or lies between the two limits.
        for (severity, condition) in levels {
            let both = [recover.limit, condition.limit]
                .iter()
                .any(|value| recover.holds(*value) && condition.holds(*value));
            let crossed = match (recover.comparison, condition.comparison) {
                (
                    Comparison::Below | Comparison::AtMost,
                    Comparison::Above | Comparison::AtLeast,
                ) => recover.limit > condition.limit,
                (
                    Comparison::Above | Comparison::AtLeast,
                    Comparison::Below | Comparison::AtMost,
                ) => recover.limit < condition.limit,
                _ => true,
            };
            if both || crossed {
                let message = format!(
                    "a value can be `recover: {recover}` and still be `{severity}: {condition}`"
                );
                self.around
                    .sink
                    .note(Note::fault("bad-condition", entry.value.place, message));
            }
        }
        Some(recover)
    }

    fn window(&self, over: Duration) {
        let every = self.probe.every;
        if !self.measure.windowed() || over.is_zero() {
            return;
        }
        let place = self
            .fields
            .entry("over")
            .map_or(self.fields.place, |entry| entry.value.place);
        if over < every {
            let message = format!(
                "the window `over` ({}) is shorter than the probe's `every` ({})",
                Spelled(over),
                Spelled(every)
            );
            let hint = format!("write `over: {}` or more", Spelled(every * 5));
            self.around
                .sink
                .note(Note::fault("window-too-short", place, message).hint(hint));
        }
        let looks = over.as_nanos() / every.as_nanos().max(1);
        if matches!(self.measure, Measure::Quantile(_)) && looks > QUANTILE_LOOKS_MAX {
            let message = format!(
                "the window holds {looks} looks; a quantile is taken of at most {QUANTILE_LOOKS_MAX}"
            );
            let most = u32::try_from(QUANTILE_LOOKS_MAX).unwrap_or(u32::MAX);
            let over_max = Duration::from_secs((every * most).as_secs());
            let every_min = Duration::from_secs(over.as_secs().div_ceil(u64::from(most)));
            let hint = format!(
                "write `over: {}` or less, or let the probe look `every: {}` or more",
                Spelled(over_max),
                Spelled(every_min)
            );
            self.around
                .sink
                .note(Note::fault("window-too-large", place, message).hint(hint));
        }
    }

    fn samples_min(&self, over: Duration, wanted: Option<u64>) -> u64 {
        if !self.measure.windowed() {
            return wanted.unwrap_or(1);
        }
        let looks = over.as_nanos() / self.probe.every.as_nanos().max(1);
        let looks = u64::try_from(looks).unwrap_or(u64::MAX).max(1);
        let counts = counted(&self.probe.target);
        match wanted {
            Some(wanted) if wanted > looks && !counts => {
                let message = format!(
                    "the window holds {looks} looks, so `min_samples: {wanted}` is never reached"
                );
                self.fields.refuse("min_samples", "never-true", message);
                wanted
            }
            Some(wanted) => wanted,
            None if counts => SAMPLES_MIN,
            None => SAMPLES_MIN.min(looks),
        }
    }
}

/// Whether one look carries many events.
pub(super) const fn counted(target: &Target) -> bool {
    match target {
        Target::Prometheus(prometheus) => {
            matches!(prometheus.form, PrometheusForm::Counters { .. })
        }
        Target::Http(_) | Target::Tcp(_) | Target::Heartbeat(_) => false,
    }
}

/// Why a measure has nothing to go by on this kind of probe.
fn unmeasurable(measure: Measure, target: &Target) -> Option<&'static str> {
    match (measure, target) {
        (Measure::Value, Target::Http(http)) if http.value.is_none() => {
            Some("it has no `value: { json: PATH }`")
        }
        (Measure::Value, Target::Tcp(_) | Target::Heartbeat(_)) => Some("it has no value"),
        (Measure::Quantile(_), Target::Heartbeat(_)) => Some("it has no latency"),
        (
            Measure::Value | Measure::Quantile(_) | Measure::ConsecutiveFailures,
            Target::Prometheus(_),
        ) if counted(target) => Some("it counts events; `availability` or `error_ratio` can be"),
        _ => None,
    }
}
