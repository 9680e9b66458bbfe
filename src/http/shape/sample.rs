//! Samples, one by one or summed up by steps; and one run of a probe on demand.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::instant;
use crate::domain::observation::Finding;
use crate::domain::sample::{self as domain, Blind, Reading, Tally};
use crate::domain::time::Timestamp;
use crate::http::desk::Run;

/// The samples of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Whose.
    pub tenant: String,
    /// Which probe's.
    pub probe: String,
    /// After this instant (exclusive).
    pub from: String,
    /// Up to this instant (inclusive).
    pub to: String,
    /// There were older samples in the span than could be read at once; ask again with an earlier `to`.
    pub truncated: bool,
    /// The samples, oldest first; empty if a step was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// Sums by steps, oldest first, steps without samples left out; empty if none was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When; the end of what it covers.
    pub at: String,
    /// good, bad or void.
    pub outcome: String,
    /// How long it took.
    pub latency_seconds: Option<f64>,
    /// The value it brought.
    pub value: Option<f64>,
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
    /// What was wrong.
    pub why: Option<String>,
}

/// The samples of one step, summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// End of the step (inclusive).
    pub at: String,
    /// Samples in it.
    pub samples: u64,
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
    /// Looks that were void.
    pub void: u64,
    /// Mean latency of its looks.
    pub latency_mean_seconds: Option<f64>,
    /// Largest latency of its looks.
    pub latency_max_seconds: Option<f64>,
    /// The last value.
    pub value: Option<f64>,
    /// The smallest value.
    pub value_min: Option<f64>,
    /// The largest value.
    pub value_max: Option<f64>,
}

/// Events of a sample: a look is one event, a void look none.
fn tally(sample: &domain::Sample) -> Tally {
    match &sample.reading {
        Reading::Look { good, .. } => Tally {
            good: u64::from(*good),
            bad: u64::from(!*good),
        },
        Reading::Counts(split) => split.total,
        Reading::Void(_) => Tally::default(),
    }
}

fn blind(blind: &Blind) -> String {
    match blind {
        Blind::Source(name) => format!("source {name} failed"),
        Blind::Network => "Holdfast's own network failed".to_owned(),
        Blind::Resolver => "the resolver gave no answer".to_owned(),
        Blind::Local => "Holdfast itself could not look".to_owned(),
        Blind::Empty => "the source had nothing to say".to_owned(),
    }
}

impl From<&domain::Sample> for Sample {
    fn from(sample: &domain::Sample) -> Self {
        let Tally { good, bad } = tally(sample);
        let (latency, value, why) = match &sample.reading {
            Reading::Look {
                latency,
                value,
                why,
                ..
            } => (*latency, *value, why.as_ref().map(ToString::to_string)),
            Reading::Counts(_) => (None, None, None),
            Reading::Void(cause) => (None, None, Some(blind(cause))),
        };
        Self {
            at: instant(sample.span.to),
            outcome: sample.outcome().as_str().to_owned(),
            latency_seconds: latency.map(|latency| latency.as_secs_f64()),
            value: value.map(|value| value.get()),
            good,
            bad,
            why,
        }
    }
}

/// Sums samples (oldest first) up by steps after `from`: the step that ends at `from + step` is the first.
#[must_use]
pub fn steps(samples: &[domain::Sample], from: Timestamp, step: Duration) -> Vec<Step> {
    let width = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
    let mut sums: Vec<(Timestamp, Sum)> = Vec::new();
    for sample in samples {
        let after = sample
            .span
            .to
            .as_micros()
            .saturating_sub(from.as_micros())
            .max(1);
        let number = (after - 1) / width + 1;
        let end = Timestamp::from_micros(
            from.as_micros()
                .saturating_add(number.saturating_mul(width)),
        );
        match sums.last_mut() {
            Some((last, sum)) if *last == end => sum.add(sample),
            Some(_) | None => {
                let mut sum = Sum::default();
                sum.add(sample);
                sums.push((end, sum));
            }
        }
    }
    sums.into_iter().map(|(at, sum)| sum.shape(at)).collect()
}

#[derive(Debug, Default)]
struct Sum {
    samples: u64,
    events: Tally,
    void: u64,
    latencies: u32,
    latency: Duration,
    latency_max: Option<Duration>,
    values: Option<(f64, f64, f64)>,
}

impl Sum {
    fn add(&mut self, sample: &domain::Sample) {
        self.samples += 1;
        self.events.add(tally(sample));
        match &sample.reading {
            Reading::Look { latency, value, .. } => {
                if let Some(latency) = *latency {
                    self.latencies += 1;
                    self.latency = self.latency.saturating_add(latency);
                    self.latency_max = self.latency_max.max(Some(latency));
                }
                if let Some(value) = *value {
                    let value = value.get();
                    let (_, low, high) = self.values.unwrap_or((value, value, value));
                    self.values = Some((value, low.min(value), high.max(value)));
                }
            }
            Reading::Counts(_) => {}
            Reading::Void(_) => self.void += 1,
        }
    }

    fn shape(self, at: Timestamp) -> Step {
        Step {
            at: instant(at),
            samples: self.samples,
            good: self.events.good,
            bad: self.events.bad,
            void: self.void,
            latency_mean_seconds: (self.latencies > 0)
                .then(|| self.latency.as_secs_f64() / f64::from(self.latencies)),
            latency_max_seconds: self.latency_max.map(|latency| latency.as_secs_f64()),
            value: self.values.map(|(last, _, _)| last),
            value_min: self.values.map(|(_, low, _)| low),
            value_max: self.values.map(|(_, _, high)| high),
        }
    }
}

/// One run of a probe on demand, phase by phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeRun {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub probe: String,
    /// What it is held to be.
    pub sample: Sample,
    /// How far it got.
    pub reached: String,
    /// What stopped it.
    pub fault: Option<String>,
    /// How long each stage took, in order.
    pub stages: Vec<StageTime>,
    /// How long the whole look took.
    pub took_seconds: f64,
}

/// How long one stage took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Which.
    pub stage: String,
    /// How long.
    pub seconds: f64,
}

impl From<&Run> for ProbeRun {
    fn from(run: &Run) -> Self {
        let observation = &run.observation;
        let mut sample = Sample::from(&run.sample);
        if let Ok(Finding::Look { latency, value }) = &observation.result {
            sample.latency_seconds.get_or_insert(latency.as_secs_f64());
            sample.value = sample.value.or(value.map(|value| value.get()));
        }
        Self {
            tenant: observation.probe.tenant.to_string(),
            probe: observation.probe.probe.to_string(),
            sample,
            reached: observation.reached.as_str().to_owned(),
            fault: observation.result.as_ref().err().map(ToString::to_string),
            stages: observation
                .stages
                .iter()
                .map(|(stage, took)| StageTime {
                    stage: stage.as_str().to_owned(),
                    seconds: took.as_secs_f64(),
                })
                .collect(),
            took_seconds: observation.took.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Span;
    use crate::domain::value::Value;

    fn look(at: i64, good: bool, millis: u64) -> domain::Sample {
        domain::Sample {
            series: "acme/api".parse().unwrap(),
            span: Span::at(Timestamp::from_secs(at)),
            reading: Reading::Look {
                good,
                latency: Some(Duration::from_millis(millis)),
                value: Some(Value::whole(millis)),
                why: None,
            },
        }
    }

    #[test]
    fn every_sample_is_in_exactly_one_step_and_ends_are_inclusive() {
        let from = Timestamp::from_secs(100);
        let samples = [
            look(101, true, 10),
            look(110, false, 30),
            look(111, true, 20),
            look(140, true, 40),
        ];
        let steps = steps(&samples, from, Duration::from_secs(10));
        let ends: Vec<&str> = steps.iter().map(|step| step.at.as_str()).collect();
        assert_eq!(
            ends,
            [
                "1970-01-01T00:01:50Z",
                "1970-01-01T00:02:00Z",
                "1970-01-01T00:02:20Z"
            ]
        );
        assert_eq!((steps[0].good, steps[0].bad), (1, 1));
        assert_eq!(steps[0].latency_mean_seconds, Some(0.02));
        assert_eq!(steps[0].value_max, Some(30.0));
        assert_eq!(steps[0].value, Some(30.0));
        assert_eq!(steps.iter().map(|step| step.samples).sum::<u64>(), 4);
    }
}
