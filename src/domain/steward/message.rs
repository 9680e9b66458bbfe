//! What people are told about decisions and rollbacks: routed like alerts, `alertname: rollback`.

use std::collections::BTreeMap;

use super::super::decision::{Decision, Hold, Petition};
use super::super::delivery::{Message, Notice, Reason, Status};
use super::super::guard;
use super::super::id::{DecisionId, Digest};
use super::super::objective::Severity;
use super::super::rollback::{Rollback, Stage};
use super::super::spec::Workload;
use super::super::time::Timestamp;
use super::{Standing, Steward};

/// The parts of a message that differ.
struct Words {
    status: Status,
    severity: Severity,
    summary: String,
    description: String,
    thread: Digest,
    key: Digest,
    began: Timestamp,
    at: Timestamp,
    decision: Option<DecisionId>,
    more: Vec<(&'static str, String)>,
}

impl Steward {
    fn notice(&self, workload: &Workload, words: Words) -> Notice {
        let tenant = self.spec.tenants.get(&workload.id.tenant);
        let mut labels = tenant
            .map(|tenant| tenant.labels.clone())
            .unwrap_or_default();
        for (name, value) in [
            ("alertname", "rollback"),
            ("tenant", workload.id.tenant.0.as_str()),
            ("workload", workload.id.workload.as_str()),
            ("namespace", workload.target.namespace()),
            ("severity", words.severity.as_str()),
        ] {
            labels.insert(name.to_owned(), value.to_owned());
        }
        let mut annotations = BTreeMap::from([
            ("summary".to_owned(), words.summary),
            ("description".to_owned(), words.description),
        ]);
        if let Some(decision) = words.decision {
            annotations.insert("decision".to_owned(), format!("/decisions/{decision}"));
        }
        for (name, value) in words.more {
            annotations.insert(name.to_owned(), value);
        }
        Notice {
            key: words.key,
            at: words.at,
            message: Message {
                status: words.status,
                reason: Reason::Rollback,
                severity: words.severity,
                thread: words.thread,
                labels,
                annotations,
                starts_at: words.began,
                ends_at: (words.status == Status::Resolved).then_some(words.at),
            },
        }
    }

    pub(super) fn held(
        &self,
        workload: &Workload,
        decision: &Decision,
        hold: Hold,
        detail: &str,
        petition: &Petition,
    ) -> Notice {
        let summary = if hold == Hold::ModeObserve {
            format!("{}: would have rolled back (mode observe)", workload.id)
        } else {
            format!("{}: not rolled back ({hold})", workload.id)
        };
        let words = Words {
            status: Status::Firing,
            severity: Severity::Warning,
            summary,
            description: format!("{} is breached; {detail}", petition.trigger),
            thread: decision.id.0,
            key: decision.id.0,
            began: petition.began,
            at: decision.at,
            decision: Some(decision.id),
            more: vec![("reason", hold.as_str().to_owned())],
        };
        self.notice(workload, words)
    }

    pub(super) fn held_no_longer(
        &self,
        workload: &Workload,
        standing: &Standing,
        hold: Hold,
        decision: DecisionId,
        now: Timestamp,
    ) -> Notice {
        let petition = &standing.petition;
        let (id, trigger) = (&workload.id, &petition.trigger);
        let (summary, description) = if standing.answered.is_some() {
            (
                format!("{id}: no longer held ({hold}), and over"),
                "it was rolled back after all, and the breach is over",
            )
        } else {
            (
                format!("{id}: {trigger} is over without a rollback"),
                "the breach that a rollback was held for is over",
            )
        };
        let words = Words {
            status: Status::Resolved,
            severity: Severity::Warning,
            summary,
            description: description.to_owned(),
            thread: decision.0,
            key: Digest::of(&[b"held-no-longer".as_slice(), &decision.0.0]),
            began: petition.began,
            at: now,
            decision: Some(decision),
            more: vec![("reason", hold.as_str().to_owned())],
        };
        self.notice(workload, words)
    }

    pub(super) fn requested_notice(
        &self,
        workload: &Workload,
        row: &Rollback,
        decision: &Decision,
    ) -> Notice {
        let words = Words {
            summary: format!("{}: rolling back", workload.id),
            description: decision.reason.clone(),
            ..self.words(row, Status::Firing, Severity::Warning, row.requested)
        };
        self.notice(workload, words)
    }

    /// The message of a stage that people are told of.
    pub(super) fn progress(&self, row: &Rollback, now: Timestamp) -> Option<Notice> {
        let workload = self.spec.workload(&row.workload)?;
        let (status, severity, summary, description) = match &row.stage {
            Stage::Requested | Stage::Applying { .. } => return None,
            Stage::Verifying { .. } => (
                Status::Firing,
                Severity::Warning,
                format!("{}: rolled back, verifying", row.workload),
                self.afterwards(row),
            ),
            Stage::Succeeded => (
                Status::Resolved,
                Severity::Info,
                format!("{}: the rollback helped", row.workload),
                format!(
                    "{} is as promised again since the proven revision is back",
                    row.trigger
                ),
            ),
            Stage::NotCaused => (
                Status::Firing,
                Severity::Critical,
                format!("{}: not caused by the release", row.workload),
                format!(
                    "the rollback did not help: {} is as broken as before. Holdfast does not walk \
                     further back; somebody has to look",
                    row.trigger
                ),
            ),
            Stage::Failed { why } => (
                Status::Firing,
                Severity::Critical,
                format!("{}: the rollback failed", row.workload),
                why.to_string(),
            ),
            Stage::Superseded { why } => (
                Status::Resolved,
                Severity::Warning,
                format!("{}: the rollback was superseded", row.workload),
                format!("{why}; nothing of it was overwritten"),
            ),
        };
        let words = Words {
            summary,
            description,
            ..self.words(row, status, severity, now)
        };
        Some(self.notice(workload, words))
    }

    /// A breach that outlived its rollback is over.
    pub(super) fn recovered_later(
        &self,
        workload: &Workload,
        row: &Rollback,
        now: Timestamp,
    ) -> Notice {
        let words = self.words(row, Status::Resolved, Severity::Info, now);
        let words = Words {
            summary: format!("{}: {} is as promised again", row.workload, row.trigger),
            description: "the breach that outlived its rollback is over".to_owned(),
            key: Digest::of(&[b"recovered-later".as_slice(), &words.key.0]),
            ..words
        };
        self.notice(workload, words)
    }

    fn afterwards(&self, row: &Rollback) -> String {
        let mut text =
            "the proven revision is back on the object; judging from its rollout on".to_owned();
        if self.seen.get(&row.target).is_some_and(|seen| seen.applied) {
            text.push_str(
                ". The next `kubectl apply` of the same file brings the bad revision back: revert \
                 the file first",
            );
        }
        text
    }

    fn words(&self, row: &Rollback, status: Status, severity: Severity, at: Timestamp) -> Words {
        let ledger = self.ledgers.get(&row.target).cloned().unwrap_or_default();
        Words {
            status,
            severity,
            summary: String::new(),
            description: String::new(),
            thread: row.id.0,
            key: Digest::of(&[
                b"rollback-stage".as_slice(),
                &row.id.0.0,
                &row.attempt.to_le_bytes(),
                row.stage.as_str().as_bytes(),
            ]),
            began: row.requested,
            at,
            decision: Some(row.decision),
            more: vec![
                ("from", guard::images(&ledger, row.rollout.template)),
                ("to", guard::images(&ledger, row.to)),
                ("reason", row.stage.as_str().to_owned()),
            ],
        }
    }
}
