//! When Holdfast holds: one function a guard, and the table that lists them in order.
//!
//! Every refusal is a named [`Hold`]. The table is walked to its end even after a guard has said no, so
//! that a plan shows all of them; the first that says no is the reason.

use std::sync::Arc;
use std::time::Duration;

use super::decision::{Candidate, GuardResult, Hold};
use super::event::Access;
use super::id::{RollbackId, TemplateDigest, WorkloadId};
use super::ledger::Ledger;
use super::rollout::{Rollout, RolloutId, Seen};
use super::spec::{Mode, RollbackPolicy, Workload};
use super::time::{Spelled, Timestamp};

/// A day, for budgets.
pub const DAY: Duration = Duration::from_secs(86_400);
/// An hour, for budgets.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Managers that reapply by themselves: what they bring back is not a person's wish.
const RECONCILERS: [&str; 5] = [
    "argocd",
    "kustomize-controller",
    "helm-controller",
    "flux",
    "rancher-fleet",
];

/// A rollback that was effective, as the budgets count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Of which workload.
    pub workload: WorkloadId,
    /// When.
    pub at: Timestamp,
    /// Which.
    pub rollback: RollbackId,
}

/// Everything a guard may look at.
#[derive(Debug)]
pub struct Case<'a> {
    /// Now.
    pub now: Timestamp,
    /// The workload as configured.
    pub workload: &'a Workload,
    /// The ceiling and the budgets.
    pub policy: &'a RollbackPolicy,
    /// The mode in force.
    pub mode: Mode,
    /// What the platform can do.
    pub access: Access,
    /// The workload as last seen.
    pub seen: Option<&'a Seen>,
    /// Its ledger.
    pub ledger: &'a Ledger,
    /// The rollout that is blamed, or the judge's reason why none can be.
    pub blames: &'a Result<RolloutId, Hold>,
    /// A person asked: skips mode, evidence, attribution, cooldown and budgets.
    pub person: bool,
    /// Rollbacks of the last day.
    pub spent: &'a [Spent],
    /// The target, if one was found.
    pub target: Option<TemplateDigest>,
    /// The candidates that were looked at.
    pub candidates: &'a [Candidate],
}

type Answer = Result<String, (Hold, String)>;
type Guard = fn(&Case<'_>) -> Answer;

/// The guards, in the order in which their reasons win.
const GUARDS: &[(&str, Guard)] = &[
    ("cluster", cluster),
    ("never", never),
    ("blame", blame),
    ("owner", owner),
    ("paused", paused),
    ("replicas", replicas),
    ("freeze", freeze),
    ("reapplied", reapplied),
    ("baseline", baseline),
    ("cooldown", cooldown),
    ("budget-workload", budget_workload),
    ("budget-tenant", budget_tenant),
    ("budget-cluster", budget_cluster),
    ("mode", mode),
];

/// Asks all guards. The first hold among the results is the reason.
#[must_use]
pub fn ask(case: &Case<'_>) -> Vec<GuardResult> {
    GUARDS
        .iter()
        .map(|(guard, ask)| match ask(case) {
            Ok(detail) => GuardResult {
                guard: (*guard).into(),
                result: Ok(()),
                detail,
            },
            Err((hold, detail)) => GuardResult {
                guard: (*guard).into(),
                result: Err(hold),
                detail,
            },
        })
        .collect()
}

fn hold<T>(reason: Hold, detail: impl Into<String>) -> Result<T, (Hold, String)> {
    Err((reason, detail.into()))
}

fn cluster(case: &Case<'_>) -> Answer {
    match case.access {
        Access::None => hold(Hold::NoCluster, "no cluster is configured or found"),
        Access::Forbidden => hold(Hold::NoPermission, "workloads may not be changed"),
        Access::Open if case.seen.is_none() => hold(
            Hold::NoCluster,
            format!("{} is not there", case.workload.target),
        ),
        Access::Open => Ok("the cluster can be acted on".to_owned()),
    }
}

fn never(case: &Case<'_>) -> Answer {
    match case.mode {
        Mode::Never => hold(Hold::Never, "holdfast.dev/rollback: never"),
        Mode::Observe | Mode::Act => Ok("rollbacks are not ruled out".to_owned()),
    }
}

fn blame(case: &Case<'_>) -> Answer {
    if case.person {
        return Ok("a person asked".to_owned());
    }
    match case.blames {
        Ok(id) => Ok(format!("revision {} may be at fault", id.revision)),
        Err(reason) => hold(*reason, explain(*reason, case)),
    }
}

fn explain(reason: Hold, case: &Case<'_>) -> String {
    let rollout = case.ledger.current();
    match reason {
        Hold::NoRollout => match rollout {
            Some(Rollout {
                first_sight: true, ..
            }) => {
                "no rollout was seen: the revision was there when Holdfast first looked".to_owned()
            }
            Some(rollout) => format!(
                "the last rollout began at {}, longer ago than {}",
                rollout.began,
                Spelled(case.workload.attribution)
            ),
            None => "no rollout was seen".to_owned(),
        },
        Hold::BrokenBefore => match case.ledger.chain_began() {
            Some(began) => format!("the breach is older than the rollout, which began at {began}"),
            None => "the breach is older than the rollout".to_owned(),
        },
        Hold::CurrentProven => "the present revision was proven before".to_owned(),
        Hold::TooFewSamples => "too few events since the rollout began".to_owned(),
        Hold::Gathering => "the events since the rollout began do not show it yet".to_owned(),
        Hold::Blind => "the present state cannot be seen".to_owned(),
        Hold::Ambiguous => "more than one rollout of the tenant may be at fault".to_owned(),
        other => other.as_str().to_owned(),
    }
}

fn owner(case: &Case<'_>) -> Answer {
    match case.seen.and_then(|seen| seen.owner.as_ref()) {
        Some(owner) => hold(Hold::Owned, format!("{owner} owns the workload")),
        None => Ok("no other controller owns the workload".to_owned()),
    }
}

fn paused(case: &Case<'_>) -> Answer {
    if case.seen.is_some_and(|seen| seen.paused) {
        return hold(Hold::Paused, "the workload is paused");
    }
    Ok("not paused".to_owned())
}

fn replicas(case: &Case<'_>) -> Answer {
    match case.seen {
        Some(seen) if seen.replicas.desired == 0 => {
            hold(Hold::ScaledToZero, "no replicas are wanted")
        }
        Some(seen) => Ok(format!("{} replicas are wanted", seen.replicas.desired)),
        None => Ok("not seen".to_owned()),
    }
}

fn freeze(case: &Case<'_>) -> Answer {
    let until = case.seen.and_then(|seen| seen.marks.frozen_until);
    match until.filter(|until| *until > case.now) {
        Some(until) => hold(Hold::Frozen, format!("frozen by annotation until {until}")),
        None => Ok("no freeze".to_owned()),
    }
}

fn reapplied(case: &Case<'_>) -> Answer {
    if case.person {
        return Ok("a person asked".to_owned());
    }
    let Some(current) = case.ledger.current() else {
        return Ok("no rollout".to_owned());
    };
    let times = case.ledger.reapplied(current.id.template, case.now - DAY);
    if times == 0 {
        return Ok("the template was not rolled back before".to_owned());
    }
    let who = current.changed_by.as_deref().unwrap_or("somebody");
    if RECONCILERS
        .iter()
        .any(|reconciler| who.contains(reconciler))
    {
        return hold(
            Hold::Reapplied,
            format!("{who} brings back what was rolled back"),
        );
    }
    if times > 1 {
        return hold(
            Hold::Reapplied,
            format!("applied again {times} times within a day, by {who}"),
        );
    }
    Ok(format!(
        "applied again by {who} for the first time within a day: judged again"
    ))
}

fn baseline(case: &Case<'_>) -> Answer {
    if case.target.is_some() {
        return Ok("a proven revision is there".to_owned());
    }
    let proven = case.candidates.iter().find(|candidate| {
        candidate.proven.is_some() && candidate.rejected.as_deref() == Some(GONE)
    });
    match proven {
        Some(candidate) => hold(
            Hold::BaselineGone,
            format!(
                "the proven revision {} no longer exists",
                candidate.template.0.short()
            ),
        ),
        None => hold(
            Hold::NoBaseline,
            "no revision was proven before the rollout began",
        ),
    }
}

fn cooldown(case: &Case<'_>) -> Answer {
    let own = &case.workload.id;
    let known = case
        .spent
        .iter()
        .filter(|spent| spent.workload == *own)
        .map(|spent| spent.at);
    let marked = case.seen.and_then(|seen| seen.marks.rolled_back_at);
    let Some(last) = known.chain(marked).max() else {
        return Ok("no earlier rollback".to_owned());
    };
    let over = last + case.workload.cooldown;
    if over > case.now && !case.person {
        return hold(
            Hold::Cooldown,
            format!("the last rollback was at {last}, cooling down until {over}"),
        );
    }
    Ok(format!("the last rollback was at {last}"))
}

fn budget(case: &Case<'_>, used: usize, limit: u32, span: &str, reason: Hold) -> Answer {
    let allowed = usize::try_from(limit).unwrap_or(usize::MAX);
    if used >= allowed && !case.person {
        return hold(reason, format!("{used} of {limit} {span} are spent"));
    }
    Ok(format!("{used} of {limit} {span} are spent"))
}

fn budget_workload(case: &Case<'_>) -> Answer {
    let own = &case.workload.id;
    let mut used: Vec<RollbackId> = case
        .spent
        .iter()
        .filter(|spent| spent.workload == *own && spent.at > case.now - DAY)
        .map(|spent| spent.rollback)
        .collect();
    // What stands on the object counts even if this daemon's store does not know it.
    if let Some(marks) = case.seen.map(|seen| &seen.marks)
        && let (Some(rollback), Some(at)) = (marks.rollback, marks.rolled_back_at)
        && at > case.now - DAY
        && !used.contains(&rollback)
    {
        used.push(rollback);
    }
    budget(
        case,
        used.len(),
        case.workload.per_day,
        "of the workload's day",
        Hold::BudgetWorkload,
    )
}

fn budget_tenant(case: &Case<'_>) -> Answer {
    let used = case
        .spent
        .iter()
        .filter(|spent| spent.workload.tenant == case.workload.id.tenant)
        .filter(|spent| spent.at > case.now - DAY)
        .count();
    budget(
        case,
        used,
        case.policy.per_tenant_per_day,
        "of the tenant's day",
        Hold::BudgetTenant,
    )
}

fn budget_cluster(case: &Case<'_>) -> Answer {
    let used = case
        .spent
        .iter()
        .filter(|spent| spent.at > case.now - HOUR)
        .count();
    budget(
        case,
        used,
        case.policy.per_hour,
        "of the cluster's hour",
        Hold::BudgetCluster,
    )
}

fn mode(case: &Case<'_>) -> Answer {
    match case.mode {
        Mode::Act => Ok("mode is act".to_owned()),
        _ if case.person => Ok("a person asked".to_owned()),
        Mode::Observe => hold(
            Hold::ModeObserve,
            "mode is observe: it would have rolled back",
        ),
        Mode::Never => hold(Hold::Never, "holdfast.dev/rollback: never"),
    }
}

/// A candidate that would be the target, but is not on the platform any more.
pub const GONE: &str = "no longer exists on the platform";

/// The revision most recently proven before `began`, other than the present one; and every candidate
/// with what spoke against it. An older proven one is never taken because the newest is gone: that
/// would be a step back that nobody asked for.
#[must_use]
pub fn choose(
    ledger: &Ledger,
    seen: Option<&Seen>,
    began: Timestamp,
) -> (Option<TemplateDigest>, Vec<Candidate>) {
    let current = seen.map(|seen| seen.template);
    let mut candidates: Vec<Candidate> = ledger
        .entries()
        .filter(|(template, _)| Some(*template) != current)
        .map(|(template, entry)| {
            let held = seen.and_then(|s| s.revisions.iter().find(|r| r.template == template));
            let images = held.map_or_else(|| entry.images.clone(), |held| held.images.clone());
            let rejected = if let Some((rollback, _)) = entry.quarantined {
                Some(format!("quarantined by rollback {}", rollback.0.short()))
            } else if entry.blamed.is_some() {
                Some("blamed for a breach".to_owned())
            } else if entry.proven.is_none() {
                Some("never proven".to_owned())
            } else if entry.proven.is_some_and(|at| at > began) {
                Some("proven only after the rollout began".to_owned())
            } else {
                None
            };
            Candidate {
                template,
                revision: held.map(|held| held.number),
                images,
                proven: entry.proven,
                rejected,
            }
        })
        .collect();
    candidates.sort_by_key(|candidate| {
        std::cmp::Reverse((candidate.rejected.is_none(), candidate.proven))
    });
    let mut target = None;
    for (place, candidate) in candidates.iter_mut().enumerate() {
        if candidate.rejected.is_some() {
            continue;
        }
        if place > 0 {
            candidate.rejected = Some("an older proven revision".to_owned());
        } else if candidate.revision.is_none() {
            candidate.rejected = Some(GONE.to_owned());
        } else {
            target = Some(candidate.template);
        }
    }
    (target, candidates)
}

/// Images of a template, for people.
#[must_use]
pub fn images(ledger: &Ledger, template: TemplateDigest) -> String {
    let images: Vec<Arc<str>> = ledger
        .get(template)
        .map(|entry| entry.images.clone())
        .unwrap_or_default();
    if images.is_empty() {
        return template.0.short();
    }
    images
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<&str>>()
        .join(", ")
}
