//! Alerts, their transitions and phases, and what verdicts rest on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::shape::shape;
use crate::domain;
use crate::domain::alert::{AlertState, Cause};
use crate::domain::id::{AlertId, Name, TenantId};
use crate::domain::objective::Severity;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

pub use super::scalar::Acknowledgement;

type Texts = BTreeMap<String, String>;

shape! {
    /// Identity of an alert over all its episodes.
    AlertKey of domain::id::AlertKey {
        tenant: TenantId,
        objective: Name,
        probe: Name,
    }

    /// What a span covers: after `from`, up to and including `to`.
    Span of domain::time::Span {
        from: Timestamp,
        to: Timestamp,
    }

    /// Counts of good and bad events.
    Tally of domain::sample::Tally {
        good: u64,
        bad: u64,
    }

    /// One point of a series' recent past.
    Point of domain::alert::Point {
        at: Timestamp,
        #[serde(flatten)]
        tally: domain::sample::Tally,
        value: Option<Value>,
    }

    /// What a verdict rested on.
    Evidence of domain::alert::Evidence {
        key: domain::id::AlertKey,
        measure: String,
        condition: String,
        shown: Option<String>,
        value: Option<Value>,
        #[serde(rename = "over_seconds")]
        over: Duration,
        window: domain::time::Span,
        tally: domain::sample::Tally,
        void: u64,
        why: Option<Arc<str>>,
        points: Vec<domain::alert::Point>,
    }

    /// A change of an alert's state.
    Transition of domain::alert::Transition {
        alert: AlertId,
        key: domain::id::AlertKey,
        at: Timestamp,
        began: Timestamp,
        from: AlertState,
        to: AlertState,
        severity: Severity,
        cause: Cause,
        labels: Texts,
        annotations: Texts,
        evidence: Box<domain::alert::Evidence>,
    }

    /// One level whose condition holds.
    LevelClock of domain::alert::LevelClock {
        severity: Severity,
        began: Timestamp,
        counted: Timestamp,
    }

    /// Where a monitor stands.
    Phase of domain::alert::Phase {
        key: domain::id::AlertKey,
        state: AlertState,
        severity: Severity,
        began: Timestamp,
        since: Timestamp,
        recovered: Option<Timestamp>,
        levels: Vec<domain::alert::LevelClock>,
        alert: Option<AlertId>,
        acknowledged: Option<(String, Timestamp)>,
        at: Timestamp,
    }

    /// An episode of an alert.
    Alert of domain::alert::Alert {
        id: AlertId,
        key: domain::id::AlertKey,
        state: AlertState,
        severity: Severity,
        began: Timestamp,
        fired: Option<Timestamp>,
        ended: Option<Timestamp>,
        cause: Cause,
        acknowledged: Option<(String, Timestamp)>,
        labels: Texts,
        annotations: Texts,
        at: Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Wire as _, fixture};

    #[test]
    fn alerts_are_written_and_read_back() {
        let transition = fixture::transition(1, AlertState::Pending, AlertState::Firing, 30);
        fixture::round_trip(&transition);
        fixture::round_trip(&domain::alert::Alert::open(&transition));
        fixture::round_trip(&fixture::phase(1, AlertState::Firing, 30));
        let mut bare = fixture::phase(1, AlertState::Inactive, 30);
        bare.alert = None;
        bare.acknowledged = None;
        bare.recovered = None;
        fixture::round_trip(&bare);
    }

    #[test]
    fn evidence_reads_well() {
        let json = serde_json::to_string_pretty(&fixture::evidence(1).show()).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "key": {
            "tenant": "acme",
            "objective": "errors-1",
            "probe": "api"
          },
          "measure": "error_ratio",
          "condition": "above 5%",
          "shown": "20%",
          "value": 0.2,
          "over_seconds": 60.0,
          "window": {
            "from": "2026-01-05T08:59:00Z",
            "to": "2026-01-05T09:00:00Z"
          },
          "tally": {
            "good": 80,
            "bad": 20
          },
          "void": 1,
          "why": "status 500, expected 2xx",
          "points": [
            {
              "at": "2026-01-05T08:59:30Z",
              "good": 80,
              "bad": 20,
              "value": null
            },
            {
              "at": "2026-01-05T09:00:00Z",
              "good": 80,
              "bad": 20,
              "value": 0.25
            }
          ]
        }
        "#);
    }

    #[test]
    fn what_cannot_be_is_said_with_its_place() {
        let mut shape = fixture::transition(1, AlertState::Pending, AlertState::Firing, 30).show();
        shape.evidence.points[0].at = "yesterday".to_owned();
        let error = domain::alert::Transition::read(shape).unwrap_err();
        assert_eq!(error.path, "evidence.points.0.at");
    }
}
