//! The story, narrated as it happens. Every line waits for the thing it says.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use super::stage::{Stage, TENANT, WORKLOAD};
use crate::domain::alert::{AlertState, Verdict};
use crate::domain::change::Change;
use crate::domain::decision;
use crate::domain::fact::What;
use crate::domain::rollback;
use crate::domain::standing::Trust;

/// Longer than any step of the story takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked whether a step has happened.
const LOOK: Duration = Duration::from_millis(100);
/// How often the error ratio is told while it climbs.
const CLIMB: Duration = Duration::from_secs(2);

/// Says one line.
#[expect(clippy::print_stdout, reason = "the demo speaks to the terminal")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Tells the story from beginning to end.
///
/// # Errors
/// If a step does not happen in time.
pub async fn tell(stage: &Stage) -> anyhow::Result<()> {
    let began = Instant::now();
    let clock = |line: String| say(&format!("{:>5.1}s  {line}", began.elapsed().as_secs_f64()));
    clock(format!("holdfast is up; its page: {}", stage.page()));
    clock(format!(
        "{TENANT} has deployed shop:v1, three replicas, and customers come in"
    ));
    wait("v1 to be proven", || proven(stage)).await?;
    clock("shop:v1 has kept its promises for a whole bake: proven".into());
    stage
        .cluster
        .set_image(TENANT, WORKLOAD, "shop:v2-err20")
        .await?;
    clock("a second release: shop:v2, which fails a fifth of its requests".into());
    climb(stage, &clock).await?;
    clock("error-rate fires: critical".into());
    let reason = wait("the decision", || decided(stage)).await?;
    clock(format!("decision: roll back. {reason}"));
    wait("the patch", || reached(stage, "verifying")).await?;
    clock("patched: shop:v1's template is back on the Deployment".into());
    wait("the verification", || reached(stage, "succeeded")).await?;
    clock("verified on the events after the rollback alone: it helped".into());
    wait("the alert to be resolved", || resolved(stage)).await?;
    clock("error-rate is resolved".into());
    wait("all messages", || heard(stage)).await?;
    check(stage).await?;
    clock(format!(
        "why, with its evidence: {}decisions/{}",
        stage.page(),
        decision(stage)?
    ));
    Ok(())
}

async fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn climb(stage: &Stage, clock: &impl Fn(String)) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut said = Instant::now();
    while !fires(stage) {
        if said.elapsed() >= CLIMB {
            said = Instant::now();
            let standing = stage.desk().objectives().await;
            let error_rate = standing
                .iter()
                .find(|s| s.key.objective.as_str() == "error-rate");
            if let Some(Verdict::Met(Some(value)) | Verdict::Breached(_, Some(value))) =
                error_rate.map(|standing| standing.verdict)
            {
                clock(format!("  error ratio {:.1} %", value.get() * 100.0));
            }
        }
        if Instant::now() > deadline {
            bail!("error-rate did not fire within {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn find<T>(stage: &Stage, pick: impl FnMut(&Change) -> Option<T>) -> Option<T> {
    stage.committed().iter().find_map(pick)
}

fn proven(stage: &Stage) -> Option<()> {
    find(stage, |change| match change {
        Change::Fact(fact) => matches!(fact.what, What::Proven { .. }).then_some(()),
        _ => None,
    })
}

fn fires(stage: &Stage) -> bool {
    find(stage, |change| match change {
        Change::Transition(transition) => {
            let critical = transition.severity == crate::domain::objective::Severity::Critical;
            (transition.to == AlertState::Firing && critical).then_some(())
        }
        _ => None,
    })
    .is_some()
}

fn decided(stage: &Stage) -> Option<String> {
    find(stage, |change| match change {
        Change::Decision(decision) => match decision.verdict {
            decision::Verdict::RollBack { .. } => Some(decision.reason.clone()),
            decision::Verdict::Hold(_) => None,
        },
        _ => None,
    })
}

fn decision(stage: &Stage) -> anyhow::Result<String> {
    find(stage, |change| match change {
        Change::Decision(decision) => match decision.verdict {
            decision::Verdict::RollBack { .. } => Some(decision.id.to_string()),
            decision::Verdict::Hold(_) => None,
        },
        _ => None,
    })
    .context("there is no decision")
}

fn reached(stage: &Stage, wanted: &str) -> Option<()> {
    find(stage, |change| match change {
        Change::Rollback(row) => (row.stage.as_str() == wanted).then_some(()),
        _ => None,
    })
}

fn resolved(stage: &Stage) -> Option<()> {
    find(stage, |change| match change {
        Change::Transition(transition) => (transition.to == AlertState::Resolved).then_some(()),
        _ => None,
    })
}

fn heard(stage: &Stage) -> Option<()> {
    let heard = stage.hearer.heard();
    let has = |alertname: &str, status: &str| {
        heard
            .iter()
            .any(|message| message.alertname == alertname && message.status == status)
    };
    let whole = has("error-rate", "firing")
        && has("error-rate", "resolved")
        && has("rollback", "firing")
        && has("rollback", "resolved");
    whole.then_some(())
}

/// What must have come true, and what must not have happened.
async fn check(stage: &Stage) -> anyhow::Result<()> {
    let deployment = stage.cluster.rolled_out(TENANT, WORKLOAD, PATIENCE).await?;
    let image = deployment
        .spec
        .and_then(|spec| spec.template.spec)
        .and_then(|pod| {
            pod.containers
                .first()
                .and_then(|container| container.image.clone())
        });
    if image.as_deref() != Some("shop:v1") {
        bail!("the Deployment runs {image:?}, not shop:v1");
    }
    let patches = stage.committed().iter().filter(|change| {
        matches!(change, Change::Rollback(row) if matches!(row.stage, rollback::Stage::Verifying { since: None }))
    }).count();
    if patches != 1 {
        bail!("{patches} patches were sent, not one");
    }
    let standing = stage.desk().workloads().await;
    let ledger = standing
        .first()
        .map(|standing| standing.ledger.clone())
        .unwrap_or_default();
    let quarantined = ledger
        .iter()
        .filter(|entry| entry.trust == Trust::Quarantined)
        .count();
    if quarantined != 1 {
        bail!("{quarantined} revisions are quarantined, not one");
    }
    Ok(())
}
