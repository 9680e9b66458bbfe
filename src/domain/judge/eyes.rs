//! Blindness as Holdfast's own alert.
//!
//! A look that could not be made says nothing about the tenant. It says something about Holdfast: one of
//! its eyes (a source of metrics, its network, its resolver, its own machine) is shut. That is told once,
//! under the tenant `holdfast` and the objective `blind`, however many probes looked through that eye.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::alert::{
    AlertState, Cause, Doubt, Evidence, Phase, Transition, Verdict, episode,
};
use super::super::change::{Change, Changes};
use super::super::id::{AlertId, AlertKey, Name, ProbeId, TenantId};
use super::super::objective::Severity;
use super::super::sample::{Blind, Reading, Sample, Tally};
use super::super::spec::Spec;
use super::super::standing::ObjectiveStanding;
use super::super::target::{PrometheusTarget, Target};
use super::super::time::{Span, Timestamp};

/// Void looks in a row before an eye is called shut: one or two may be a lost packet.
const LOOKS_MIN: u32 = 3;
/// The longest that an eye may be shut before it is told, if looks are far apart.
const SHUT_MAX: Duration = Duration::from_secs(60);
/// Probes that are named in the alert at most.
const NAMED_MAX: usize = 5;

/// All eyes that were ever shut.
#[derive(Debug, Default)]
pub(super) struct Eyes(BTreeMap<Name, Eye>);

#[derive(Debug)]
struct Eye {
    shut: Option<Timestamp>,
    looks: u32,
    probes: BTreeSet<ProbeId>,
    firing: Option<(AlertId, Timestamp)>,
    since: Timestamp,
}

fn key(eye: &Name) -> AlertKey {
    AlertKey {
        tenant: TenantId::own(),
        objective: Name::literal("blind"),
        probe: eye.clone(),
    }
}

// === impl Eyes ===

impl Eyes {
    pub(super) fn restore(phases: &[Phase]) -> Self {
        let own = TenantId::own();
        let eyes = phases
            .iter()
            .filter(|phase| phase.key.tenant == own)
            .filter_map(|phase| {
                let alert = phase.alert?;
                let eye = Eye {
                    shut: Some(phase.began),
                    looks: LOOKS_MIN,
                    probes: BTreeSet::new(),
                    firing: Some((alert, phase.began)),
                    since: phase.since,
                };
                Some((phase.key.probe.clone(), eye))
            });
        Self(eyes.collect())
    }

    /// Takes note of a look: through which eye, and whether anything was seen.
    pub(super) fn look(
        &mut self,
        spec: &Spec,
        sample: &Sample,
        every: Duration,
        now: Timestamp,
        out: &mut Changes,
    ) {
        match &sample.reading {
            Reading::Void(Blind::Empty) => self.open_source(spec, sample, now, out),
            Reading::Void(blind) => {
                let Some(name) = blind.name() else { return };
                self.shut(&name, sample, every, now, out);
            }
            Reading::Look { .. } | Reading::Counts(_) => {
                if self.0.is_empty() {
                    return;
                }
                self.open_source(spec, sample, now, out);
                for own in [Blind::Network, Blind::Resolver, Blind::Local] {
                    let Some(name) = own.name() else { continue };
                    // One probe's missing secret does not end because another probe can look.
                    let other = own == Blind::Local
                        && self
                            .0
                            .get(&name)
                            .is_some_and(|eye| !eye.probes.contains(&sample.series));
                    if !other {
                        self.open(&name, now, out);
                    }
                }
            }
        }
    }

    fn open_source(&mut self, spec: &Spec, sample: &Sample, now: Timestamp, out: &mut Changes) {
        let target = spec.probe(&sample.series).map(|probe| &probe.target);
        if let Some(Target::Prometheus(PrometheusTarget { source, .. })) = target {
            self.open(&source.clone(), now, out);
        }
    }

    fn shut(
        &mut self,
        name: &Name,
        sample: &Sample,
        every: Duration,
        now: Timestamp,
        out: &mut Changes,
    ) {
        let eye = self.0.entry(name.clone()).or_insert_with(|| Eye {
            shut: None,
            looks: 0,
            probes: BTreeSet::new(),
            firing: None,
            since: now,
        });
        let shut = *eye.shut.get_or_insert(now);
        eye.looks = eye.looks.saturating_add(1);
        eye.probes.insert(sample.series.clone());
        let long = now.since(shut) >= (every * 2).min(SHUT_MAX);
        if eye.firing.is_none() && eye.looks >= LOOKS_MIN && long {
            eye.firing = Some((episode(&key(name), shut), shut));
            eye.since = now;
            eye.tell(name, AlertState::Firing, Cause::Breach, now, out);
        }
    }

    fn open(&mut self, name: &Name, now: Timestamp, out: &mut Changes) {
        let Some(mut eye) = self.0.remove(name) else {
            return;
        };
        if eye.firing.is_some() {
            eye.since = now;
            eye.tell(name, AlertState::Resolved, Cause::Recovered, now, out);
        }
    }

    /// An eye through which no probe looks any more is no longer shut.
    pub(super) fn reconfigure(&mut self, spec: &Arc<Spec>, now: Timestamp, out: &mut Changes) {
        let sources: BTreeSet<Name> = spec
            .probes()
            .filter_map(|probe| match &probe.target {
                Target::Prometheus(target) => Some(target.source.clone()),
                Target::Http(_) | Target::Tcp(_) | Target::Heartbeat(_) => None,
            })
            .collect();
        let own = [Blind::Network, Blind::Resolver, Blind::Local];
        let own: BTreeSet<Name> = own.iter().filter_map(Blind::name).collect();
        let gone: Vec<Name> = self
            .0
            .keys()
            .filter(|name| !sources.contains(*name) && !own.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            let Some(mut eye) = self.0.remove(&name) else {
                continue;
            };
            if eye.firing.is_some() {
                eye.since = now;
                eye.tell(&name, AlertState::Resolved, Cause::Removed, now, out);
            }
        }
    }

    pub(super) fn standing(&self) -> impl Iterator<Item = ObjectiveStanding> + '_ {
        self.0
            .iter()
            .filter(|(_, eye)| eye.firing.is_some())
            .map(|(name, eye)| ObjectiveStanding {
                key: key(name),
                verdict: Verdict::Inconclusive(Doubt::Blind),
                state: AlertState::Firing,
                severity: Some(Severity::Critical),
                since: Some(eye.since),
                alert: eye.firing.map(|(alert, _)| alert),
                samples: u64::from(eye.looks),
            })
    }
}

impl Eye {
    fn tell(&self, name: &Name, to: AlertState, cause: Cause, now: Timestamp, out: &mut Changes) {
        let Some((alert, began)) = self.firing else {
            return;
        };
        let key = key(name);
        let from = if to == AlertState::Firing {
            AlertState::Inactive
        } else {
            AlertState::Firing
        };
        let transition = Transition {
            alert,
            key: key.clone(),
            at: now,
            began,
            from,
            to,
            severity: Severity::Critical,
            cause,
            labels: labels(name),
            annotations: self.annotations(name, to),
            evidence: Box::new(self.evidence(&key, began, now)),
        };
        out.push(if to == AlertState::Firing {
            Change::Phase(Phase {
                key,
                state: to,
                severity: Severity::Critical,
                began,
                since: now,
                levels: Vec::new(),
                recovered: None,
                alert: Some(alert),
                acknowledged: None,
                at: now,
            })
        } else {
            Change::Forget(key)
        });
        out.push(Change::Transition(transition));
    }

    fn annotations(&self, name: &Name, to: AlertState) -> BTreeMap<String, String> {
        let named: Vec<String> = self
            .probes
            .iter()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect();
        let more = self.probes.len().saturating_sub(named.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let summary = if to == AlertState::Firing {
            format!("Holdfast is blind: {name} does not answer")
        } else {
            format!("Holdfast sees again: {name} answers")
        };
        let description = format!(
            "{} looks in a row were void. While this lasts nothing is paged and nothing is rolled \
             back on the word of: {}{more}. This says nothing about the tenants themselves.",
            self.looks,
            named.join(", "),
        );
        BTreeMap::from([
            ("summary".to_owned(), summary),
            ("description".to_owned(), description),
        ])
    }

    fn evidence(&self, key: &AlertKey, began: Timestamp, now: Timestamp) -> Evidence {
        Evidence {
            key: key.clone(),
            measure: "void_looks".to_owned(),
            condition: format!("at least {LOOKS_MIN} in a row"),
            shown: Some(self.looks.to_string()),
            value: Some(super::super::value::Value::whole(u64::from(self.looks))),
            over: now.since(began),
            window: Span {
                from: began,
                to: now,
            },
            tally: Tally::default(),
            void: u64::from(self.looks),
            why: None,
            points: Vec::new(),
        }
    }
}

fn labels(eye: &Name) -> BTreeMap<String, String> {
    [
        ("alertname", "blind"),
        ("tenant", "holdfast"),
        ("objective", "blind"),
        ("probe", eye.as_str()),
        ("severity", Severity::Critical.as_str()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
