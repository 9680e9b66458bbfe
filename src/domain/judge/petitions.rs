//! Petitions: this release seems bad.
//!
//! A petition stands as long as its trigger is critically breached. The judge says which rollout may be
//! at fault, or why none can be blamed (yet); whenever that answer changes, the petition is posted again
//! and the steward decides anew.

use std::time::Duration;

use super::super::alert::{Doubt, Evidence, Verdict};
use super::super::change::{Change, Changes};
use super::super::decision::{Hold, Petition, Trigger, petition_id};
use super::super::id::AlertKey;
use super::super::ledger::Ledger;
use super::super::monitor::{evidence, measure};
use super::super::objective::Severity;
use super::super::rollout::{Rollout, RolloutId};
use super::super::spec::WorkloadRef;
use super::super::time::Timestamp;
use super::{Judge, Watched};

/// A petition that stands.
#[derive(Debug)]
pub(super) struct Raised(Petition);

impl Raised {
    pub(super) const fn restore(petition: Petition) -> Self {
        Self(petition)
    }

    pub(super) const fn petition(&self) -> &Petition {
        &self.0
    }

    /// Whether it was raised by this trigger in the episode that began then.
    fn is_of(&self, trigger: &Trigger, episode: Timestamp) -> bool {
        self.0.trigger == *trigger && self.0.began >= episode
    }

    pub(super) fn withdraw(&mut self, now: Timestamp, out: &mut Changes) {
        self.0.standing = false;
        self.0.at = now;
        out.push(Change::Petition(self.0.clone()));
    }
}

/// A trigger that is breached now.
#[derive(Debug)]
struct Claim {
    trigger: Trigger,
    /// When the critical breach began.
    began: Timestamp,
    /// When the episode began: a lower level may have been breached before.
    older: Timestamp,
    key: Option<AlertKey>,
}

impl Judge {
    /// Looks at a workload's triggers: raises, changes and withdraws petitions.
    pub(super) fn consider(&mut self, target: &WorkloadRef, now: Timestamp, out: &mut Changes) {
        let Some(watched) = self.workloads.get(target) else {
            return;
        };
        let claims = self.claims(watched);
        if claims.is_empty() && watched.raised.is_empty() {
            return;
        }
        let workload = watched.spec.id.clone();
        let mut raised: Vec<Raised> = Vec::new();
        let mut standing = match self.workloads.get_mut(target) {
            Some(watched) => std::mem::take(&mut watched.raised),
            None => return,
        };
        for mut claim in claims {
            // One episode is one petition: while it fires, its condition may fail to hold for a moment
            // (`recover`), and the critical level begins anew.
            let known = standing
                .iter()
                .position(|raised| raised.is_of(&claim.trigger, claim.older));
            if let Some(raised) = known.and_then(|place| standing.get(place)) {
                claim.began = raised.0.began;
            }
            let id = petition_id(&workload, &claim.trigger, claim.began);
            let blames = self.blame(target, &claim, now);
            match known.map(|place| standing.swap_remove(place)) {
                Some(same) if same.0.blames == blames => raised.push(same),
                known => {
                    let petition = Petition {
                        id,
                        workload: workload.clone(),
                        target: target.clone(),
                        evidence: self.case(&claim, &blames, now),
                        trigger: claim.trigger,
                        began: known.map_or(claim.began, |raised| raised.0.began),
                        blames,
                        at: now,
                        standing: true,
                    };
                    out.push(Change::Petition(petition.clone()));
                    raised.push(Raised(petition));
                }
            }
        }
        // A series that is being read back has not said that its breach is over.
        let (kept, over): (Vec<Raised>, Vec<Raised>) = standing
            .into_iter()
            .partition(|raised| self.undecided(&raised.0.trigger));
        raised.extend(kept);
        for mut raised in over {
            raised.withdraw(now, out);
        }
        if let Some(watched) = self.workloads.get_mut(target) {
            watched.raised = raised;
        }
        self.count_raised();
    }

    pub(super) fn count_raised(&mut self) {
        self.raised = self
            .workloads
            .values()
            .map(|watched| watched.raised.len())
            .sum();
    }

    fn undecided(&self, trigger: &Trigger) -> bool {
        match trigger {
            Trigger::Objective(key) => self
                .series
                .get(&key.series())
                .is_some_and(|tracked| tracked.waiting.is_some()),
            Trigger::ProgressDeadline | Trigger::Person(_) => false,
        }
    }

    fn claims(&self, watched: &Watched) -> Vec<Claim> {
        let mut claims = Vec::new();
        if let Some(tenant) = self.spec.tenants.get(&watched.spec.id.tenant) {
            for objective in &tenant.objectives {
                if !watched.spec.triggers.contains(&objective.key.objective) {
                    continue;
                }
                let began = self
                    .series
                    .get(&objective.key.series())
                    .and_then(|tracked| {
                        if tracked.waiting.is_some() {
                            return None;
                        }
                        let mut monitors = tracked.monitors.iter();
                        let monitor = monitors.find(|m| m.objective().key == objective.key)?;
                        Some((monitor.critical_since()?, monitor.began()))
                    });
                if let Some((began, older)) = began {
                    let key = objective.key.clone();
                    claims.push(Claim {
                        trigger: Trigger::Objective(key.clone()),
                        began,
                        older,
                        key: Some(key),
                    });
                }
            }
        }
        let failed = watched.ledger.current().filter(|rollout| {
            let present = watched
                .seen
                .as_ref()
                .is_some_and(|seen| seen.template == rollout.id.template);
            present && rollout.done.is_none()
        });
        if let Some(began) = failed.and_then(|rollout| rollout.failed) {
            claims.push(Claim {
                trigger: Trigger::ProgressDeadline,
                began,
                older: began,
                key: None,
            });
        }
        claims
    }

    /// Which rollout may be at fault, or why none.
    fn blame(
        &mut self,
        target: &WorkloadRef,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<RolloutId, Hold> {
        let watched = self.workloads.get(target).ok_or(Hold::NoRollout)?;
        let attribution = watched.spec.attribution;
        let rollout = watched.ledger.current().ok_or(Hold::NoRollout)?.clone();
        candidate(&watched.ledger, &rollout, claim, attribution)?;
        let Some(key) = &claim.key else {
            return Ok(rollout.id);
        };
        let rivals = self.workloads.values().filter(|other| {
            other.spec.id.tenant == watched.spec.id.tenant
                && other.spec.id != watched.spec.id
                && other.spec.triggers.contains(&key.objective)
                && other.ledger.current().is_some_and(|rollout| {
                    candidate(&other.ledger, rollout, claim, other.spec.attribution).is_ok()
                })
        });
        if rivals.count() > 0 {
            return Err(Hold::Ambiguous);
        }
        self.since(key, &rollout, now)?;
        Ok(rollout.id)
    }

    /// Whether the condition holds on the events since the rollout began alone.
    fn since(&mut self, key: &AlertKey, rollout: &Rollout, now: Timestamp) -> Result<(), Hold> {
        let tracked = self.series.get_mut(&key.series()).ok_or(Hold::Gathering)?;
        let monitor = tracked
            .monitors
            .iter()
            .find(|monitor| monitor.objective().key == *key)
            .ok_or(Hold::Gathering)?;
        match monitor.verdict() {
            Verdict::Inconclusive(Doubt::TooFewSamples) => return Err(Hold::TooFewSamples),
            Verdict::Inconclusive(_) => return Err(Hold::Blind),
            Verdict::Met(_) | Verdict::Breached(..) => {}
        }
        let objective = monitor.objective().clone();
        let measured = measure(&objective, &mut tracked.series, now, Some(rollout.began));
        if measured.samples < objective.samples_min {
            return Err(Hold::TooFewSamples);
        }
        let critical = objective.condition(Severity::Critical);
        let holds = measured
            .value
            .zip(critical)
            .is_some_and(|(value, c)| c.holds(value));
        if holds { Ok(()) } else { Err(Hold::Gathering) }
    }

    fn case(
        &mut self,
        claim: &Claim,
        blames: &Result<RolloutId, Hold>,
        now: Timestamp,
    ) -> Vec<Evidence> {
        let Some(key) = &claim.key else {
            return Vec::new();
        };
        let began = blames.as_ref().ok().and_then(|id| {
            let rollouts = self
                .workloads
                .values()
                .filter_map(|watched| watched.ledger.current());
            rollouts
                .into_iter()
                .find(|rollout| rollout.id == *id)
                .map(|rollout| rollout.began)
        });
        let Some(tracked) = self.series.get_mut(&key.series()) else {
            return Vec::new();
        };
        let objective = tracked
            .monitors
            .iter()
            .find(|m| m.objective().key == *key)
            .map(|m| m.objective().clone());
        let Some(objective) = objective else {
            return Vec::new();
        };
        let mut list = vec![evidence(&objective, &mut tracked.series, now, None)];
        if began.is_some() {
            list.push(evidence(&objective, &mut tracked.series, now, began));
        }
        list
    }
}

/// Whether a rollout may be blamed for a breach, by when both began.
fn candidate(
    ledger: &Ledger,
    rollout: &Rollout,
    claim: &Claim,
    attribution: Duration,
) -> Result<(), Hold> {
    if rollout.first_sight {
        return Err(Hold::NoRollout);
    }
    let proven = ledger
        .get(rollout.id.template)
        .and_then(|entry| entry.proven);
    if rollout.by.is_some() || proven.is_some_and(|at| at < rollout.began) {
        return Err(Hold::CurrentProven);
    }
    if claim.key.is_none() {
        return Ok(());
    }
    if rollout
        .done
        .is_some_and(|done| claim.began > done + attribution)
    {
        return Err(Hold::NoRollout);
    }
    if ledger
        .chain_began()
        .is_some_and(|chain| claim.older < chain)
    {
        return Err(Hold::BrokenBefore);
    }
    Ok(())
}
