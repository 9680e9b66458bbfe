//! Probe kind `prometheus`: a value, or exact counts of events from counters.
//!
//! Whatever goes wrong here is the source's fault and says nothing about the tenant: refused, late, a
//! proxy's error page, an answer that cannot be read, a query that gives several series where one was
//! meant. Series that are stale are left out by Prometheus itself.
//!
//! The counters form asks for the raw selectors and never for a rate: `domain::counter` takes the
//! increases. Both selectors are asked for the same instant, the total first: if a scrape arrives in
//! between, the part knows more than the total, and the counters carry that over. A look that fails
//! leaves the counters as they were, so the next one covers the gap too.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_http_query::Client;
use prometheus_http_query::response::{Data, InstantVector, PromqlResult};
use serde::Deserialize;

use super::Kept;
use super::attempt::{Attempt, Found, Progress};
use super::means::Means;
use crate::domain::counter::{Counters, Part, Point};
use crate::domain::id::Name;
use crate::domain::observation::{Fault, Stage};
use crate::domain::sample::{Split, Tally};
use crate::domain::target::{CounterPart, EmptyResult, PrometheusForm, PrometheusTarget};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// Bytes of one answer: about 40 000 series with long labels. Whoever selects more has forgotten the
/// tenant in the selector.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Characters of a source's own error text that are passed on.
const WHY_CHARS_MAX: usize = 200;

/// The counters of one probe at its last look; shared by the look before and after a reload.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    counters: Counters,
    looked: Option<Timestamp>,
}

/// Asks one Prometheus.
pub(super) struct PrometheusLook {
    source: Name,
    client: Client,
    timeout: Duration,
    form: Form,
}

enum Form {
    Value {
        query: String,
        empty: EmptyResult,
    },
    Counters {
        total: String,
        part: String,
        pod_label: String,
        memory: Memory,
    },
}

/// The envelope of Prometheus' API.
#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<PromqlResult>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
}

// === impl Memory ===

impl Memory {
    /// Nothing seen yet: the first look is a baseline.
    #[must_use]
    pub fn new(part: &CounterPart) -> Self {
        let part = match part {
            CounterPart::Bad(_) => Part::Bad,
            CounterPart::Good(_) => Part::Good,
        };
        Self(Arc::new(Mutex::new(State {
            counters: Counters::new(part),
            looked: None,
        })))
    }

    fn take(&self, total: &[Point], part: &[Point], now: Timestamp) -> (Split<Tally>, Timestamp) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let split = state.counters.look(total, part);
        let since = state.looked.replace(now).unwrap_or(now);
        // A wall clock that was set back makes an empty span, never a reversed one.
        (split, since.min(now))
    }
}

// === impl PrometheusLook ===

impl PrometheusLook {
    pub(super) fn try_new(
        target: &PrometheusTarget,
        means: &Means,
        kept: &Kept,
        timeout: Duration,
    ) -> Result<Self, Arc<str>> {
        let client = Client::from(means.sources()?.clone(), &target.url)
            .map_err(|error| format!("the URL of the source is not valid: {error}"))?;
        let form = match (&target.form, kept) {
            (PrometheusForm::Query { query, empty }, _) => Form::Value {
                query: query.clone(),
                empty: *empty,
            },
            (
                PrometheusForm::Counters {
                    total,
                    part: CounterPart::Bad(part) | CounterPart::Good(part),
                    pod_label,
                },
                Kept::Counters(memory),
            ) => Form::Counters {
                total: total.clone(),
                part: part.clone(),
                pod_label: pod_label.clone(),
                memory: memory.clone(),
            },
            (PrometheusForm::Counters { .. }, Kept::Nothing | Kept::Heart(_)) => {
                return Err("counters were built without their memory".into());
            }
        };
        Ok(Self {
            source: target.source.clone(),
            client,
            timeout,
            form,
        })
    }

    fn failed(&self, why: impl AsRef<str>) -> Fault {
        Fault::Source {
            source: self.source.clone(),
            why: why.as_ref().into(),
        }
    }

    async fn ask(
        &self,
        query: &str,
        now: Timestamp,
        progress: &mut Progress,
    ) -> Result<Data, Fault> {
        progress.enter(Stage::FirstByte);
        let patience = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        let mut response = self
            .client
            .query(query)
            .query("time", format!("{:.3}", now.as_seconds()))
            .timeout(patience)
            .get_raw()
            .await
            .map_err(|error| self.failed(innermost(&error)))?;
        progress.enter(Stage::Body);
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(innermost(&error)))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.failed(format!(
                    "the answer is larger than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let envelope: Envelope = serde_json::from_slice(&body).map_err(|_| {
            self.failed(format!(
                "status {}, and the answer is not Prometheus'",
                status.as_u16()
            ))
        })?;
        match envelope.data {
            Some(result) if envelope.status == "success" && status.is_success() => {
                Ok(result.into_inner().0)
            }
            _ => {
                let kind = envelope.error_type.unwrap_or_else(|| status.to_string());
                let text = envelope.error.unwrap_or_else(|| "no data".to_owned());
                let text: String = text.chars().take(WHY_CHARS_MAX).collect();
                Err(self.failed(format!("{kind}: {text}")))
            }
        }
    }

    /// One number, or nothing.
    fn value(&self, data: &Data) -> Result<Option<Value>, Fault> {
        let number = match data {
            Data::Scalar(sample) => sample.value(),
            Data::Vector(series) => match series.as_slice() {
                [] => return Ok(None),
                [one] => one.sample().value(),
                many => {
                    return Err(self.failed(format!(
                        "the query gives {} series, expected one",
                        many.len()
                    )));
                }
            },
            Data::Matrix(_) => {
                return Err(self.failed("the query gives a range, expected one number"));
            }
        };
        // Neither NaN nor an infinity is a reading.
        Value::try_new(number).map(Some).map_err(|_| Fault::Empty)
    }

    fn points(&self, data: Data, pod_label: &str) -> Result<Vec<Point>, Fault> {
        match data {
            Data::Vector(series) => Ok(series
                .iter()
                .filter_map(|series| point(series, pod_label))
                .collect()),
            Data::Scalar(_) | Data::Matrix(_) => {
                Err(self.failed("the selector gives no instant vector"))
            }
        }
    }
}

impl Attempt for PrometheusLook {
    async fn attempt(&self, now: Timestamp, progress: &mut Progress) -> Result<Found, Fault> {
        match &self.form {
            Form::Value { query, empty } => {
                let data = self.ask(query, now, progress).await?;
                progress.enter(Stage::Expect);
                match (self.value(&data)?, empty) {
                    (Some(value), _) => Ok(Found::Look(Some(value))),
                    (None, EmptyResult::Good) => Ok(Found::Look(None)),
                    (None, EmptyResult::Bad) => {
                        Err(Fault::Unexpected("the query gives no result".into()))
                    }
                    (None, EmptyResult::Void) => Err(Fault::Empty),
                }
            }
            Form::Counters {
                total,
                part,
                pod_label,
                memory,
            } => {
                let total = self.ask(total, now, progress).await?;
                let part = self.ask(part, now, progress).await?;
                progress.enter(Stage::Expect);
                let total = self.points(total, pod_label)?;
                let part = self.points(part, pod_label)?;
                if total.is_empty() {
                    return Err(Fault::Empty);
                }
                let (split, since) = memory.take(&total, &part, now);
                Ok(Found::Counts {
                    split,
                    since: Some(since),
                })
            }
        }
    }

    fn late(&self, _stage: Stage) -> Fault {
        self.failed("no answer in time")
    }
}

/// Nothing for a series that is NaN or infinite.
fn point(series: &InstantVector, pod_label: &str) -> Option<Point> {
    let value = Value::try_new(series.sample().value()).ok()?;
    let labels = series.metric();
    let mut ordered: Vec<_> = labels.iter().collect();
    ordered.sort_unstable();
    let mut key = String::with_capacity(128);
    for (name, text) in ordered {
        // Quoted, so that no label's value can look like another label. Writing to a String cannot fail.
        let written = write!(key, "{name}={text:?},");
        debug_assert!(written.is_ok());
    }
    Some(Point {
        series: key.into(),
        pod: labels.get(pod_label).map(|pod| pod.as_str().into()),
        value,
    })
}

/// The last cause in the chain: `connection refused` rather than `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
#[path = "prometheus/tests.rs"]
mod tests;
