//! Good, bad, or void: what an observation says about the target, and what only about our own eyes.
//!
//! *Blind is not broken.* The rule in one sentence: an answer is never void, and no answer is bad unless
//! Holdfast itself could not have received one.
//!
//! | what came back | outcome |
//! |---|---|
//! | an answer: as expected, a 500, NXDOMAIN, a failed handshake, nonsense | good or bad, at once |
//! | refused, reset, timed out, unreachable | bad, unless the self-checks fail in the same moment: void |
//! | no answer from the resolver, SERVFAIL | void: resolver |
//! | a source of metrics that fails, or says what cannot be read | void: that source |
//! | a source that answers with nothing | void: nothing to see, no eye is shut |
//! | no file descriptors, a missing secret | void: local |
//!
//! Deliberately absent: how broad a failure is (many unrelated targets at once, without self-checks).

use std::sync::Arc;
use std::time::Duration;

use super::observation::{Fault, Finding, Observation, Stage};
use super::sample::{Blind, Reading, Sample};

/// How long an outcome may wait for a self-check: less than anybody notices, more than a healthy
/// cluster's API server or DNS ever needs to answer a packet.
pub const SELF_CHECK_PATIENCE: Duration = Duration::from_millis(250);

/// What the self-checks said in the moment of a look; `None` for one that is not configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfChecks {
    /// The API server answered, whatever it said.
    pub api_server: Option<bool>,
    /// The nameserver answered, whatever it said.
    pub dns: Option<bool>,
}

/// Judges observations.
#[derive(Clone, Copy, Debug)]
pub struct Sight;

// === impl SelfChecks ===

impl SelfChecks {
    /// Whether Holdfast's own network is gone: a check is configured and none of them passes.
    ///
    /// One that passes is proof that packets travel: the other one's failure is then an outage of its
    /// own. Without any check Holdfast trusts its eyes.
    #[must_use]
    pub const fn blind(self) -> bool {
        let configured = self.api_server.is_some() || self.dns.is_some();
        let seeing = matches!(self.api_server, Some(true)) || matches!(self.dns, Some(true));
        configured && !seeing
    }
}

// === impl Sight ===

impl Sight {
    /// Whether the outcome depends on the self-checks: only where no answer came. An answered 500 does
    /// not wait for anybody.
    #[must_use]
    pub const fn needs_self_check(observation: &Observation) -> bool {
        match &observation.result {
            Ok(_) => false,
            Err(fault) => no_answer(fault) && !unresolved(observation.reached, fault),
        }
    }

    /// Says what the observation means.
    #[must_use]
    pub fn see(observation: &Observation, checks: SelfChecks) -> Sample {
        Sample {
            series: observation.probe.clone(),
            span: observation.span,
            reading: reading(observation, checks),
        }
    }
}

fn reading(observation: &Observation, checks: SelfChecks) -> Reading {
    let fault = match &observation.result {
        Ok(Finding::Look { latency, value }) => {
            return Reading::Look {
                good: true,
                latency: Some(*latency),
                value: *value,
                why: None,
            };
        }
        Ok(Finding::Counts(split)) => return Reading::Counts(split.clone()),
        Err(fault) => fault,
    };
    match fault {
        Fault::Source { source, .. } => Reading::Void(Blind::Source(source.clone())),
        Fault::Empty => Reading::Void(Blind::Empty),
        Fault::Local(_) => Reading::Void(Blind::Local),
        Fault::ResolverSilent(_) => Reading::Void(Blind::Resolver),
        Fault::TimedOut if unresolved(observation.reached, fault) => Reading::Void(Blind::Resolver),
        Fault::Refused | Fault::Reset | Fault::TimedOut | Fault::Unreachable if checks.blind() => {
            Reading::Void(Blind::Network)
        }
        Fault::NameUnknown
        | Fault::Refused
        | Fault::Reset
        | Fault::TimedOut
        | Fault::Unreachable
        | Fault::Tls(_)
        | Fault::Protocol(_)
        | Fault::TooLarge(_)
        | Fault::Unexpected(_)
        | Fault::Overdue => Reading::Look {
            good: false,
            latency: latency(observation, fault),
            value: None,
            why: Some(why(observation.reached, fault)),
        },
    }
}

/// A fast refusal must not make the quantiles better, so only what was waited for has a latency: a
/// wrong answer took as long as it took, a look that timed out counts with its timeout.
fn latency(observation: &Observation, fault: &Fault) -> Option<Duration> {
    let waited = *fault == Fault::TimedOut || observation.reached == Stage::Expect;
    (waited && *fault != Fault::Overdue).then_some(observation.took)
}

fn why(reached: Stage, fault: &Fault) -> Arc<str> {
    match fault {
        Fault::Reset | Fault::TimedOut => format!("{fault} at {}", reached.as_str()).into(),
        _ => fault.to_string().into(),
    }
}

const fn no_answer(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Refused | Fault::Reset | Fault::TimedOut | Fault::Unreachable
    )
}

/// The time ran out while the resolver was asked: nobody got as far as the target.
const fn unresolved(reached: Stage, fault: &Fault) -> bool {
    matches!((reached, fault), (Stage::Resolve, Fault::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Name;
    use crate::domain::sample::{Outcome, Split, Tally};
    use crate::domain::time::{Span, Timestamp};
    use crate::domain::value::Value;

    const SEEING: SelfChecks = SelfChecks {
        api_server: Some(true),
        dns: Some(true),
    };
    const BLIND: SelfChecks = SelfChecks {
        api_server: Some(false),
        dns: Some(false),
    };

    fn observed(reached: Stage, result: Result<Finding, Fault>) -> Observation {
        let begin = Timestamp::from_secs(1_767_603_600);
        Observation {
            probe: "acme/api".parse().unwrap(),
            span: Span::at(begin),
            ended: begin + Duration::from_secs(2),
            reached,
            stages: Vec::new(),
            result,
            took: Duration::from_secs(2),
        }
    }

    fn seen(reached: Stage, fault: Fault, checks: SelfChecks) -> Reading {
        Sight::see(&observed(reached, Err(fault)), checks).reading
    }

    #[test]
    fn an_answer_is_never_void() {
        for fault in [
            Fault::NameUnknown,
            Fault::Tls("expired".into()),
            Fault::Protocol("not HTTP".into()),
            Fault::TooLarge(9),
            Fault::Unexpected("status 500, expected 2xx".into()),
            Fault::Overdue,
        ] {
            let observation = observed(Stage::Expect, Err(fault));
            assert!(!Sight::needs_self_check(&observation), "{observation:?}");
            let sample = Sight::see(&observation, BLIND);
            assert_eq!(sample.outcome(), Outcome::Bad, "{observation:?}");
        }
    }

    #[test]
    fn no_answer_is_bad_unless_holdfast_itself_is_cut_off() {
        for fault in [
            Fault::Refused,
            Fault::Reset,
            Fault::TimedOut,
            Fault::Unreachable,
        ] {
            let observation = observed(Stage::Connect, Err(fault));
            assert!(Sight::needs_self_check(&observation));
            assert_eq!(Sight::see(&observation, SEEING).outcome(), Outcome::Bad);
            assert_eq!(
                Sight::see(&observation, SelfChecks::default()).outcome(),
                Outcome::Bad,
                "without self-checks Holdfast trusts its eyes"
            );
            assert_eq!(
                Sight::see(&observation, BLIND).reading,
                Reading::Void(Blind::Network)
            );
        }
    }

    #[test]
    fn one_self_check_that_passes_proves_that_packets_travel() {
        for checks in [
            SelfChecks {
                api_server: Some(false),
                dns: Some(true),
            },
            SelfChecks {
                api_server: Some(true),
                dns: None,
            },
        ] {
            assert!(!checks.blind(), "{checks:?}");
        }
        for checks in [
            SelfChecks {
                api_server: Some(false),
                dns: None,
            },
            SelfChecks {
                api_server: None,
                dns: Some(false),
            },
        ] {
            assert!(checks.blind(), "{checks:?}");
        }
    }

    #[test]
    fn each_shut_eye_is_named() {
        let prometheus = Name::literal("prometheus");
        let cases = [
            (
                Fault::Source {
                    source: prometheus.clone(),
                    why: "status 502".into(),
                },
                Blind::Source(prometheus),
            ),
            (Fault::Empty, Blind::Empty),
            (Fault::Local("too many open files".into()), Blind::Local),
            (Fault::ResolverSilent("SERVFAIL".into()), Blind::Resolver),
            (Fault::TimedOut, Blind::Resolver),
        ];
        for (fault, eye) in cases {
            let observation = observed(Stage::Resolve, Err(fault));
            assert!(!Sight::needs_self_check(&observation), "{observation:?}");
            assert_eq!(
                Sight::see(&observation, SEEING).reading,
                Reading::Void(eye),
                "{observation:?}"
            );
        }
    }

    #[test]
    fn a_look_that_timed_out_counts_with_its_timeout_and_a_refusal_with_nothing() {
        let latency = |reading| match reading {
            Reading::Look { latency, .. } => latency,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            latency(seen(Stage::FirstByte, Fault::TimedOut, SEEING)),
            Some(Duration::from_secs(2))
        );
        assert_eq!(latency(seen(Stage::Connect, Fault::Refused, SEEING)), None);
        assert_eq!(
            latency(seen(
                Stage::Expect,
                Fault::Unexpected("status 500".into()),
                SEEING
            )),
            Some(Duration::from_secs(2))
        );
        assert_eq!(latency(seen(Stage::Expect, Fault::Overdue, SEEING)), None);
    }

    #[test]
    fn a_bad_look_says_why_and_where_it_stopped() {
        let Reading::Look { why, .. } = seen(Stage::Tls, Fault::TimedOut, SEEING) else {
            panic!("a timeout is an answered look");
        };
        assert_eq!(why.as_deref(), Some("timed out at tls"));
    }

    #[test]
    fn findings_are_taken_over_as_they_are() {
        let look = Finding::Look {
            latency: Duration::from_millis(3),
            value: Some(Value::whole(7)),
        };
        assert_eq!(
            Sight::see(&observed(Stage::Expect, Ok(look)), BLIND).reading,
            Reading::Look {
                good: true,
                latency: Some(Duration::from_millis(3)),
                value: Some(Value::whole(7)),
                why: None,
            }
        );
        let split = Split::whole(Tally { good: 9, bad: 1 });
        let counts = Finding::Counts(split.clone());
        assert_eq!(
            Sight::see(&observed(Stage::Expect, Ok(counts)), BLIND).reading,
            Reading::Counts(split)
        );
    }
}
