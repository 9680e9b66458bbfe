//! What a tenant was promised: a measure of one series over a window, and conditions by severity.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::id::AlertKey;
use super::time::Spelled;
use super::value::Value;

/// How much it matters: critical pages, warning tells, info waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Tell somebody.
    Warning,
    /// Wake somebody.
    Critical,
}

impl Severity {
    /// All, lowest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The severity's name in files, labels and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is measured on a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Good of good and bad, over the window: 0 to 1.
    Availability,
    /// Bad of good and bad, over the window: 0 to 1.
    ErrorRatio,
    /// Latency that this many per mille of the looks do not exceed (nearest rank), in seconds.
    Quantile(u16),
    /// The probe's latest value.
    Value,
    /// Bad looks in a row, up to now; void looks neither count nor break the row.
    ConsecutiveFailures,
}

impl Measure {
    /// The measure's name in files and output: `error_ratio`, `p95`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Availability => "availability".to_owned(),
            Self::ErrorRatio => "error_ratio".to_owned(),
            Self::Quantile(per_mille) if per_mille % 10 == 0 => format!("p{}", per_mille / 10),
            Self::Quantile(per_mille) => format!("p{per_mille}"),
            Self::Value => "value".to_owned(),
            Self::ConsecutiveFailures => "consecutive_failures".to_owned(),
        }
    }

    /// Whether the measure is taken over a window (not the latest value, not a row of failures).
    #[must_use]
    pub const fn windowed(self) -> bool {
        matches!(
            self,
            Self::Availability | Self::ErrorRatio | Self::Quantile(_)
        )
    }
}

/// Which side of the limit is the wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// Breached when greater.
    Above,
    /// Breached when smaller.
    Below,
    /// Breached when greater or equal.
    AtLeast,
    /// Breached when smaller or equal.
    AtMost,
}

/// How the limit was written, so that it is shown the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A plain number.
    Number,
    /// A ratio, shown in per cent.
    Ratio,
    /// Seconds, shown as a duration.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Shows a value in this unit.
    #[must_use]
    pub fn show(self, value: Value) -> String {
        let number = value.get();
        match self {
            Self::Number | Self::Bytes if number.fract() == 0.0 && number.abs() < 1e15 => {
                format!("{number:.0}")
            }
            Self::Number | Self::Bytes => format!("{}", (number * 1e6).round() / 1e6),
            Self::Ratio => format!("{}%", rounded(number * 100.0)),
            Self::Seconds if (0.0..0.01).contains(&number) => {
                format!("{}ms", rounded(number * 1e3))
            }
            Self::Seconds if (0.01..1e12).contains(&number) => {
                let unit = if number < 1.0 { 1e3 } else { 1e2 };
                Spelled(Duration::from_secs_f64((number * unit).round() / unit)).to_string()
            }
            Self::Seconds => format!("{number}s"),
        }
    }
}

/// Three digits are enough for people.
fn rounded(number: f64) -> f64 {
    let places = match number.abs() {
        size if size >= 100.0 => 1.0,
        size if size >= 10.0 => 10.0,
        size if size >= 1.0 => 100.0,
        _ => 1000.0,
    };
    (number * places).round() / places
}

/// `above 5%`: breached or not, for any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// Which side is wrong.
    pub comparison: Comparison,
    /// The limit, in the measure's own unit (ratio 0 to 1, seconds, number).
    pub limit: Value,
    /// How the limit was written.
    pub unit: Unit,
}

impl Condition {
    /// Whether the value is on the wrong side.
    #[must_use]
    pub fn holds(&self, value: Value) -> bool {
        match self.comparison {
            Comparison::Above => value > self.limit,
            Comparison::Below => value < self.limit,
            Comparison::AtLeast => value >= self.limit,
            Comparison::AtMost => value <= self.limit,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.comparison {
            Comparison::Above => "above",
            Comparison::Below => "below",
            Comparison::AtLeast => "at least",
            Comparison::AtMost => "at most",
        };
        write!(f, "{words} {}", self.unit.show(self.limit))
    }
}

/// What a long silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoData {
    /// The alert stays as it is.
    Keep,
    /// It becomes this severe.
    Raise(Severity),
}

/// One objective on one probe: what is judged, when it is breached, how it is told.
/// An objective on several probes is several of these, one alert each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Tenant, objective, probe.
    pub key: AlertKey,
    /// What is measured.
    pub measure: Measure,
    /// The trailing span it is measured over.
    pub over: Duration,
    /// Conditions by severity, highest first; at least one.
    pub levels: Vec<(Severity, Condition)>,
    /// How long a breach lasts before it fires.
    pub wait: Duration,
    /// How long it goes on firing after the breach ended.
    pub keep_firing: Duration,
    /// When it counts as recovered; `None`: when the breached condition does not hold.
    pub recover: Option<Condition>,
    /// Fewest events a verdict may rest on.
    pub samples_min: u64,
    /// What silence means.
    pub no_data: NoData,
    /// How long a silence is one.
    pub no_data_after: Duration,
    /// Whether a critical breach may roll back (see the workload's triggers).
    pub rollback: bool,
    /// Page that says what to do.
    pub runbook: Option<String>,
    /// One line for people, in place of the made one.
    pub summary: Option<String>,
    /// The tenant's, the probe's and the objective's labels.
    pub labels: Arc<std::collections::BTreeMap<String, String>>,
}

impl Objective {
    /// The condition of one severity.
    #[must_use]
    pub fn condition(&self, severity: Severity) -> Option<Condition> {
        self.levels
            .iter()
            .find(|(level, _)| *level == severity)
            .map(|(_, condition)| *condition)
    }

    /// The most severe level that this value breaches.
    #[must_use]
    pub fn breached(&self, value: Value) -> Option<Severity> {
        self.levels
            .iter()
            .find(|(_, condition)| condition.holds(value))
            .map(|(level, _)| *level)
    }

    /// The unit in which this objective's values are shown.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self.measure {
            Measure::Availability | Measure::ErrorRatio => Unit::Ratio,
            Measure::Quantile(_) => Unit::Seconds,
            Measure::ConsecutiveFailures => Unit::Number,
            Measure::Value => self.levels.first().map_or(Unit::Number, |(_, c)| c.unit),
        }
    }

    /// The labels every alert of this objective carries (interface: labels of an alert).
    #[must_use]
    pub fn alert_labels(&self, severity: Severity) -> BTreeMap<String, String> {
        let mut labels = (*self.labels).clone();
        for (name, value) in [
            ("alertname", self.key.objective.as_str()),
            ("tenant", self.key.tenant.0.as_str()),
            ("objective", self.key.objective.as_str()),
            ("probe", self.key.probe.as_str()),
            ("severity", severity.as_str()),
        ] {
            labels.insert(name.to_owned(), value.to_owned());
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_their_limits_were_written() {
        let show = |unit: Unit, number: f64| unit.show(Value::try_new(number).unwrap());
        assert_eq!(show(Unit::Ratio, 0.05), "5%");
        assert_eq!(show(Unit::Ratio, 0.199_999_9), "20%");
        assert_eq!(show(Unit::Seconds, 2.0), "2s");
        assert_eq!(show(Unit::Seconds, 0.25), "250ms");
        assert_eq!(show(Unit::Ratio, 0.216_22), "21.6%");
        assert_eq!(show(Unit::Seconds, 0.001_857), "1.86ms");
        assert_eq!(show(Unit::Seconds, 1.254), "1s250ms");
        assert_eq!(show(Unit::Number, 3.0), "3");
        assert_eq!(show(Unit::Number, 0.5), "0.5");
    }

    #[test]
    fn at_least_includes_the_limit_and_above_does_not() {
        let limit = Value::whole(3);
        let at_least = Condition {
            comparison: Comparison::AtLeast,
            limit,
            unit: Unit::Number,
        };
        let above = Condition {
            comparison: Comparison::Above,
            limit,
            unit: Unit::Number,
        };
        assert!(at_least.holds(limit));
        assert!(!above.holds(limit));
        assert_eq!(at_least.to_string(), "at least 3");
    }
}
