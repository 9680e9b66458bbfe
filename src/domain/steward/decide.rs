//! Deciding: the case, the guards, the target, the record.

use std::sync::Arc;
use std::time::Duration;

use super::super::change::{Change, Changes, Reply};
use super::super::decision::{Decision, GuardResult, Hold, Petition, Trigger, Verdict};
use super::super::fact::What;
use super::super::guard::{self, Case};
use super::super::id::{DecisionId, Digest, PetitionId, TemplateDigest, WorkloadId};
use super::super::judge::mode_in_force;
use super::super::ledger::Ledger;
use super::super::rollback::{Rollback, Stage, Step};
use super::super::rollout::RolloutId;
use super::super::spec::Workload;
use super::super::time::Timestamp;
use super::Steward;

/// How long "not yet" is not worth telling: evidence of a fresh breach is still coming in.
const NOT_YET: Duration = Duration::from_secs(30);
/// Tries of one rollback, at most: each ended without touching the object.
const ATTEMPTS_MAX: u32 = 5;

/// What deciding rests on.
struct Weighed {
    mode: super::super::spec::Mode,
    guards: Vec<GuardResult>,
    candidates: Vec<super::super::decision::Candidate>,
    target: Option<TemplateDigest>,
}

impl Weighed {
    fn hold(&self) -> Option<(Hold, &str)> {
        self.guards
            .iter()
            .find_map(|guard| guard.result.err().map(|hold| (hold, guard.detail.as_str())))
    }
}

const fn not_yet(hold: Hold) -> bool {
    matches!(hold, Hold::Gathering | Hold::TooFewSamples | Hold::Blind)
}

impl Steward {
    fn weigh(
        &self,
        workload: &Workload,
        blames: &Result<RolloutId, Hold>,
        to: Option<TemplateDigest>,
        person: bool,
        now: Timestamp,
    ) -> Weighed {
        let empty = Ledger::default();
        let ledger = self.ledgers.get(&workload.target).unwrap_or(&empty);
        let seen = self.seen.get(&workload.target);
        let began = match blames {
            Ok(id) => ledger
                .rollouts()
                .iter()
                .rev()
                .find(|r| r.id == *id)
                .map(|r| r.began),
            Err(_) => ledger.current().map(|rollout| rollout.began),
        };
        let (chosen, candidates) = guard::choose(ledger, seen, began.unwrap_or(now));
        let target = to.or(chosen);
        let mode = mode_in_force(workload, self.spec.rollback.mode, seen);
        let spent = self.spent(now);
        let guards = guard::ask(&Case {
            now,
            workload,
            policy: &self.spec.rollback,
            mode,
            access: self.access,
            seen,
            ledger,
            blames,
            person,
            spent: &spent,
            target,
            candidates: &candidates,
        });
        Weighed {
            mode,
            guards,
            candidates,
            target,
        }
    }

    /// Decides a petition that stands, if it is not answered yet.
    pub(super) fn decide(&mut self, id: PetitionId, now: Timestamp, out: &mut Changes) {
        let Some(standing) = self.petitions.get(&id) else {
            return;
        };
        if self.is_answered(standing) || self.open_for(&standing.petition.workload) {
            return;
        }
        let petition = standing.petition.clone();
        let told = standing.told.clone();
        let Some(workload) = self.spec.workload(&petition.workload).cloned() else {
            return;
        };
        let weighed = self.weigh(&workload, &petition.blames, None, false, now);
        let tries = petition
            .blames
            .as_ref()
            .ok()
            .and_then(|id| self.rollbacks.get(&id.rollback()));
        if tries.is_some_and(|row| row.applied.is_some() || row.attempt >= ATTEMPTS_MAX) {
            return;
        }
        if let Some((hold, detail)) = weighed.hold() {
            if told.iter().any(|(known, _)| *known == hold)
                || (not_yet(hold) && now.since(petition.began) < NOT_YET)
            {
                return;
            }
            let reason = format!("held ({hold}): {detail}");
            let decision = record(&petition, &weighed, Verdict::Hold(hold), reason, 0, now);
            let answer = decision.id;
            out.push(Change::Notice(
                self.held(&workload, &decision, hold, detail, &petition),
            ));
            out.push(Change::Decision(decision));
            if let Some(standing) = self.petitions.get_mut(&id) {
                standing.told.push((hold, answer));
            }
            return;
        }
        let (Ok(rollout), Some(to)) = (petition.blames.clone(), weighed.target) else {
            return;
        };
        let attempt = tries.map_or(1, |row| row.attempt + 1);
        let rollback = rollout.rollback();
        let reason = self.reason(&workload, &petition, &rollout, to);
        let verdict = Verdict::RollBack { rollback, to };
        let decision = record(&petition, &weighed, verdict, reason, attempt, now);
        let row = self.row(&decision, &workload, rollout, to, attempt, now);
        if let Some(standing) = self.petitions.get_mut(&id) {
            standing.answered = Some(rollback);
        }
        self.commit_to(row, decision, &workload, now, out);
    }

    fn commit_to(
        &mut self,
        row: Rollback,
        decision: Decision,
        workload: &Workload,
        now: Timestamp,
        out: &mut Changes,
    ) {
        self.fact(
            &row.target,
            What::Blamed {
                template: row.rollout.template,
            },
            now,
            out,
        );
        out.push(Change::Notice(
            self.requested_notice(workload, &row, &decision),
        ));
        out.push(Change::Decision(decision));
        out.push(Change::Rollback(row.clone()));
        self.rollbacks.insert(row.id, row);
    }

    fn row(
        &self,
        decision: &Decision,
        workload: &Workload,
        rollout: RolloutId,
        to: TemplateDigest,
        attempt: u32,
        now: Timestamp,
    ) -> Rollback {
        Rollback {
            id: rollout.rollback(),
            attempt,
            decision: decision.id,
            workload: workload.id.clone(),
            target: workload.target.clone(),
            rollout,
            to,
            trigger: decision.trigger.clone(),
            requested: now,
            applied: None,
            ended: None,
            term: self.term,
            conflicts: 0,
            stage: Stage::Requested,
            steps: vec![Step {
                at: now,
                stage: "requested",
                what: decision.reason.clone(),
            }],
        }
    }

    fn reason(
        &self,
        workload: &Workload,
        petition: &Petition,
        rollout: &RolloutId,
        to: TemplateDigest,
    ) -> String {
        let empty = Ledger::default();
        let ledger = self.ledgers.get(&workload.target).unwrap_or(&empty);
        let from = guard::images(ledger, rollout.template);
        let back = guard::images(ledger, to);
        let why = match (&petition.trigger, petition.evidence.last()) {
            (Trigger::Objective(key), Some(evidence)) => format!(
                "{} is {} ({}) since the rollout began",
                key.objective,
                evidence.shown.as_deref().unwrap_or("breached"),
                evidence.condition,
            ),
            (Trigger::ProgressDeadline, _) => "the rollout did not get ready in time".to_owned(),
            (trigger, _) => format!("{trigger}"),
        };
        format!("{why}: from {from} back to {back}, the revision last proven before")
    }

    /// A person asks for a rollback.
    pub(super) fn requested(
        &mut self,
        id: &WorkloadId,
        to: Option<u64>,
        dry_run: bool,
        by: &str,
        now: Timestamp,
        out: &mut Changes,
    ) -> Reply {
        let Some(workload) = self.spec.workload(id).cloned() else {
            return Reply::NotFound;
        };
        let seen = self.seen.get(&workload.target);
        let wanted = match to {
            None => None,
            Some(number) => {
                let held = seen.and_then(|s| s.revisions.iter().find(|r| r.number == number));
                match held {
                    Some(held) if seen.is_some_and(|seen| seen.template == held.template) => {
                        return Reply::Refused(format!("revision {number} is the present one"));
                    }
                    Some(held) => Some(held.template),
                    None => return Reply::Refused(format!("there is no revision {number}")),
                }
            }
        };
        let blames = seen
            .and_then(super::super::rollout::Seen::rollout_id)
            .ok_or(Hold::NoRollout);
        let weighed = self.weigh(&workload, &blames, wanted, true, now);
        let petition = Petition {
            id: PetitionId(Digest::of(&[
                b"command".as_slice(),
                &now.as_micros().to_le_bytes(),
            ])),
            workload: id.clone(),
            target: workload.target.clone(),
            trigger: Trigger::Person(Arc::from(by)),
            began: now,
            blames: blames.clone(),
            evidence: Vec::new(),
            at: now,
            standing: true,
        };
        if let Some((hold, detail)) = weighed.hold() {
            if dry_run {
                let reason = format!("would be held ({hold}): {detail}");
                let verdict = Verdict::Hold(hold);
                let decision = record(&petition, &weighed, verdict, reason, 0, now);
                return Reply::Planned(Box::new(Decision {
                    petition: None,
                    ..decision
                }));
            }
            return Reply::Refused(format!("held ({hold}): {detail}"));
        }
        let (Ok(rollout), Some(to)) = (blames, weighed.target) else {
            return Reply::Refused(Hold::NoBaseline.as_str().to_owned());
        };
        let verdict = Verdict::RollBack {
            rollback: rollout.rollback(),
            to,
        };
        let earlier = self.rollbacks.get(&rollout.rollback());
        let attempt = earlier.map_or(1, |row| row.attempt + 1);
        let back = self
            .ledgers
            .get(&workload.target)
            .map(|ledger| guard::images(ledger, to));
        let reason = format!("{by} asked for it: back to {}", back.unwrap_or_default());
        let decision = record(&petition, &weighed, verdict, reason, attempt, now);
        let decision = Decision {
            petition: None,
            ..decision
        };
        if dry_run {
            return Reply::Planned(Box::new(decision));
        }
        if earlier.is_some_and(|row| row.applied.is_some()) || self.open_for(id) {
            return Reply::Refused("this rollout has its rollback already".to_owned());
        }
        let row = self.row(&decision, &workload, rollout, to, attempt, now);
        let answer = Reply::Decided(decision.id);
        self.commit_to(row, decision, &workload, now, out);
        answer
    }
}

fn record(
    petition: &Petition,
    weighed: &Weighed,
    verdict: Verdict,
    reason: String,
    attempt: u32,
    now: Timestamp,
) -> Decision {
    let word = match &verdict {
        Verdict::RollBack { .. } => "roll-back",
        Verdict::Hold(hold) => hold.as_str(),
    };
    Decision {
        id: DecisionId(Digest::of(&[
            b"decision".as_slice(),
            &petition.id.0.0,
            word.as_bytes(),
            &attempt.to_le_bytes(),
        ])),
        at: now,
        workload: petition.workload.clone(),
        target: petition.target.clone(),
        trigger: petition.trigger.clone(),
        petition: Some(petition.id),
        rollout: petition.blames.as_ref().ok().cloned(),
        verdict,
        mode: weighed.mode,
        reason,
        candidates: weighed.candidates.clone(),
        guards: weighed.guards.clone(),
        evidence: petition.evidence.clone(),
    }
}
