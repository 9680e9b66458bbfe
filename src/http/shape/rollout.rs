//! Rollouts: a fold over the facts of the ledger, newest first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{instant, some_instant, texts};
use crate::domain::fact::{Fact, What};
use crate::domain::id::TemplateDigest;
use crate::domain::rollout as domain;
use crate::domain::spec::WorkloadRef;
use crate::domain::standing::{Trust, WorkloadStanding};
use crate::domain::time::Timestamp;

/// Movement of a workload from one revision to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// A short name for it.
    pub id: String,
    /// `tenant/name`; none: no workload of the configuration any more.
    pub workload: Option<String>,
    /// `deployment/namespace/name`.
    pub target: String,
    /// Its number when it became current.
    pub revision: u64,
    /// The template that became current.
    pub template: String,
    /// Its images.
    pub images: Vec<String>,
    /// What was there before; none at first sight.
    pub from: Option<String>,
    /// Images of what was there before.
    pub from_images: Vec<String>,
    /// When it was first seen.
    pub began: String,
    /// When it was complete.
    pub done: Option<String>,
    /// When the platform gave up on it.
    pub failed: Option<String>,
    /// progressing, done, failed, or replaced: another rollout began before it was complete.
    pub outcome: String,
    /// How far its revision is trusted now.
    pub trust: String,
    /// Whether its template is the present one.
    pub current: bool,
    /// The rollback that made it, if Holdfast did.
    pub rollback: Option<String>,
    /// It was there when Holdfast first looked.
    pub first_sight: bool,
    /// Who changed the template, as far as the object says.
    pub changed_by: Option<String>,
    /// Why, as far as the object says.
    pub change_cause: Option<String>,
}

/// What is known of one template.
#[derive(Clone, Debug)]
struct Known {
    images: Vec<String>,
    trust: Trust,
}

/// Folds the facts, oldest first, into rollouts, newest first. The ledger's own word on a revision
/// (`standings`) goes before what can be read out of the facts.
#[must_use]
pub fn fold(facts: &[Fact], standings: &[WorkloadStanding]) -> Vec<(Timestamp, Rollout)> {
    let mut rollouts: Vec<domain::Rollout> = Vec::new();
    let mut known: BTreeMap<(&WorkloadRef, TemplateDigest), Known> = BTreeMap::new();
    for fact in facts {
        match &fact.what {
            What::Began(rollout) => rollouts.push((**rollout).clone()),
            What::Done(id) => {
                if let Some(rollout) = rollouts.iter_mut().rev().find(|rollout| rollout.id == *id) {
                    rollout.done.get_or_insert(fact.at);
                }
            }
            What::Failed(id) => {
                if let Some(rollout) = rollouts.iter_mut().rev().find(|rollout| rollout.id == *id) {
                    rollout.failed.get_or_insert(fact.at);
                }
            }
            What::FirstSeen {
                template, images, ..
            } => {
                let images = texts(images);
                let trust = Trust::Seen;
                known.insert((&fact.target, *template), Known { images, trust });
            }
            What::Baked { template, .. } => trust(&mut known, fact, *template, Trust::Baking),
            What::Proven { template, .. } => trust(&mut known, fact, *template, Trust::Proven),
            What::Blamed { template } => trust(&mut known, fact, *template, Trust::Blamed),
            What::Quarantined { template, .. } => {
                trust(&mut known, fact, *template, Trust::Quarantined);
            }
            What::Released { template, .. } => trust(&mut known, fact, *template, Trust::Seen),
        }
    }
    for standing in standings {
        for entry in &standing.ledger {
            let images = texts(&entry.images);
            let trust = entry.trust;
            known.insert((&standing.target, entry.template), Known { images, trust });
        }
    }
    let mut newest: BTreeMap<&WorkloadRef, usize> = BTreeMap::new();
    for (place, rollout) in rollouts.iter().enumerate() {
        newest.insert(&rollout.target, place);
    }
    let mut shapes: Vec<(Timestamp, Rollout)> = rollouts
        .iter()
        .enumerate()
        .map(|(place, rollout)| {
            let is_newest = newest.get(&rollout.target) == Some(&place);
            let workload = standings
                .iter()
                .find(|standing| standing.target == rollout.target);
            (rollout.began, shape(rollout, workload, is_newest, &known))
        })
        .collect();
    shapes.reverse();
    shapes.sort_by_key(|(began, _)| std::cmp::Reverse(*began));
    shapes
}

fn trust<'a>(
    known: &mut BTreeMap<(&'a WorkloadRef, TemplateDigest), Known>,
    fact: &'a Fact,
    template: TemplateDigest,
    trust: Trust,
) {
    known
        .entry((&fact.target, template))
        .or_insert(Known {
            images: Vec::new(),
            trust,
        })
        .trust = trust;
}

fn shape(
    rollout: &domain::Rollout,
    workload: Option<&WorkloadStanding>,
    is_newest: bool,
    known: &BTreeMap<(&WorkloadRef, TemplateDigest), Known>,
) -> Rollout {
    let of = |template: TemplateDigest| known.get(&(&rollout.target, template));
    let images = |template| of(template).map_or_else(Vec::new, |known| known.images.clone());
    let outcome = match (rollout.failed, rollout.done) {
        (Some(_), _) => "failed",
        (None, Some(_)) => "done",
        (None, None) if is_newest => "progressing",
        (None, None) => "replaced",
    };
    Rollout {
        id: rollout.id.digest().to_string(),
        workload: workload.map(|standing| standing.id.to_string()),
        target: rollout.target.to_string(),
        revision: rollout.id.revision,
        template: rollout.id.template.to_string(),
        images: images(rollout.id.template),
        from: rollout.from.map(|template| template.to_string()),
        from_images: rollout.from.map(images).unwrap_or_default(),
        began: instant(rollout.began),
        done: some_instant(rollout.done),
        failed: some_instant(rollout.failed),
        outcome: outcome.to_owned(),
        trust: of(rollout.id.template)
            .map_or(Trust::Seen, |known| known.trust)
            .as_str()
            .to_owned(),
        current: is_newest,
        rollback: rollout.by.map(|rollback| rollback.to_string()),
        first_sight: rollout.first_sight,
        changed_by: rollout.changed_by.as_ref().map(ToString::to_string),
        change_cause: rollout.change_cause.as_ref().map(ToString::to_string),
    }
}
