//! Samples. The store packs its own far smaller (`store::segment`); this is what people see.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shape::shape;
use super::{Unreadable, Wire};
use crate::domain;
use crate::domain::id::{Name, ProbeId};
use crate::domain::sample::{Blind, Split, Tally};

shape! {
    /// One look, judged good, bad or void.
    Sample of domain::sample::Sample {
        series: ProbeId,
        span: domain::time::Span,
        reading: domain::sample::Reading,
    }
}

/// What a sample says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reading {
    /// One look was answered, well or badly.
    Look {
        /// Whether it was good.
        good: bool,
        /// How long it took.
        latency_seconds: Option<f64>,
        /// The value, if the probe has one.
        value: Option<f64>,
        /// What was wrong.
        why: Option<String>,
    },
    /// Exact counts of events in the span.
    Counts {
        /// Events that went well.
        good: u64,
        /// Events that went badly.
        bad: u64,
        /// The parts by pod; empty if pods can't be told apart.
        pods: Vec<PodTally>,
    },
    /// Could not look.
    Void {
        /// Which eye was shut: `source`, `network`, `resolver`, `local`, `empty`.
        eye: String,
        /// Which source, if it was one.
        source: Option<String>,
    },
}

/// The part of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodTally {
    /// Its name.
    pub pod: String,
    /// Events that went well.
    pub good: u64,
    /// Events that went badly.
    pub bad: u64,
}

impl Wire for domain::sample::Reading {
    type Shape = Reading;

    fn show(&self) -> Reading {
        match self {
            Self::Look {
                good,
                latency,
                value,
                why,
            } => Reading::Look {
                good: *good,
                latency_seconds: latency.show(),
                value: value.show(),
                why: why.show(),
            },
            Self::Counts(Split { total, by_pod }) => Reading::Counts {
                good: total.good,
                bad: total.bad,
                pods: by_pod.iter().map(pod_tally).collect(),
            },
            Self::Void(blind) => {
                let (eye, source) = match blind {
                    Blind::Source(name) => ("source", Some(name)),
                    Blind::Network => ("network", None),
                    Blind::Resolver => ("resolver", None),
                    Blind::Local => ("local", None),
                    Blind::Empty => ("empty", None),
                };
                Reading::Void {
                    eye: eye.to_owned(),
                    source: source.map(Wire::show),
                }
            }
        }
    }

    fn read(shape: Reading) -> Result<Self, Unreadable> {
        Ok(match shape {
            Reading::Look {
                good,
                latency_seconds,
                value,
                why,
            } => Self::Look {
                good,
                latency: Wire::read(latency_seconds)?,
                value: Wire::read(value)?,
                why: Wire::read(why)?,
            },
            Reading::Counts { good, bad, pods } => Self::Counts(Split {
                total: Tally { good, bad },
                by_pod: pods.into_iter().map(part).collect(),
            }),
            Reading::Void { eye, source } => Self::Void(blind(&eye, source)?),
        })
    }
}

fn pod_tally((pod, tally): &(Arc<str>, Tally)) -> PodTally {
    PodTally {
        pod: pod.show(),
        good: tally.good,
        bad: tally.bad,
    }
}

fn part(PodTally { pod, good, bad }: PodTally) -> (Arc<str>, Tally) {
    (pod.into(), Tally { good, bad })
}

fn blind(eye: &str, source: Option<String>) -> Result<Blind, Unreadable> {
    match (eye, source) {
        ("source", Some(name)) => Name::read(name).map(Blind::Source),
        ("network", _) => Ok(Blind::Network),
        ("resolver", _) => Ok(Blind::Resolver),
        ("local", _) => Ok(Blind::Local),
        ("empty", _) => Ok(Blind::Empty),
        _ => Err(Unreadable::new(format!("`{eye}` is no eye"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Span, Timestamp};
    use crate::wire::fixture;

    #[test]
    fn samples_of_every_kind_are_written_and_read_back() {
        for reading in fixture::readings() {
            let sample = domain::sample::Sample {
                series: "acme/api".parse().unwrap(),
                span: Span::at(Timestamp::from_secs(1)),
                reading,
            };
            fixture::round_trip(&sample);
        }
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_read() {
        let shape = Reading::Look {
            good: true,
            latency_seconds: Some(f64::NAN),
            value: None,
            why: None,
        };
        assert!(domain::sample::Reading::read(shape).is_err());
    }
}
