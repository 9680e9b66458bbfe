//! How long a rollback takes, in the simulated cluster with the real daemon: from the first bad look to the
//! decision, to the accepted patch, to the template rolled out. `bench_rollback COUNT`; prints `name value`
//! lines in milliseconds.
//!
//! Several tenants, each with a Deployment of its own, release one bad version after the other; a quarter of
//! each one's requests fails. Source of the evidence: an HTTP probe every 100 ms through the Service. Times are
//! those on the committed rows, so they are the daemon's own clock throughout.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use holdfast::clock::Clock;
use holdfast::cluster::lease::LeaseTimes;
use holdfast::daemon::lifecycle::{self, Options};
use holdfast::domain::change::Change;
use holdfast::domain::decision::Verdict;
use holdfast::domain::fact::What;
use holdfast::domain::rollback::Stage;
use holdfast::domain::sample::Outcome;
use holdfast::domain::time::Timestamp;
use holdfast::sim::service::ServiceProxy;
use holdfast::sim::{SimCluster, SimOptions};
use tokio::time::Instant;

/// Deployments that are broken in turn.
const TENANTS: u32 = 5;
/// Longer than any rollback takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Committed = Arc<Mutex<Vec<Change>>>;

/// What one rollback took.
struct Took {
    evidence_to_decision: Duration,
    decision_to_patch: Duration,
    evidence_to_rolled_out: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let count: u32 = std::env::args()
        .nth(1)
        .context("bench_rollback COUNT")?
        .parse()?;
    let clock = Clock::system();
    let sim_clock = clock.clone();
    let now = Arc::new(move || {
        jiff::Timestamp::from_microsecond(sim_clock.now().as_micros()).unwrap_or_default()
    });
    let cluster = Arc::new(SimCluster::start(now, SimOptions::default()).await?);
    let mut proxies = Vec::new();
    for tenant in 0..TENANTS {
        let namespace = format!("tenant-{tenant}");
        cluster
            .apply_deployment(&namespace, "shop", "shop:v0", 2)
            .await?;
        cluster.rolled_out(&namespace, "shop", PATIENCE).await?;
        proxies.push(cluster.proxy(&namespace, "shop").await?);
    }
    let folder = tempfile::tempdir()?;
    configure(folder.path(), &cluster.kubeconfig(), &proxies)?;
    let committed: Committed = Arc::default();
    let hear = committed.clone();
    let hook = Arc::new(move |changes: &[Change]| {
        let mut list = hear.lock().unwrap_or_else(PoisonError::into_inner);
        list.extend(
            changes
                .iter()
                .filter(|change| worth_keeping(change))
                .cloned(),
        );
    });
    let options = Options {
        config: folder.path().join("config"),
        lease: LeaseTimes::lasting(Duration::from_secs(15)),
        nameserver: None,
        hook: Some(hook),
    };
    let running = lifecycle::start(options).await?;
    until("the first versions to be proven", || {
        let list = committed.lock().unwrap_or_else(PoisonError::into_inner);
        let proven = list.iter().filter(|change| {
            matches!(change, Change::Fact(fact) if matches!(fact.what, What::Proven { .. }))
        });
        (proven.count() >= TENANTS as usize).then_some(())
    })
    .await?;
    let mut took = Vec::new();
    for round in 0..count {
        let tenant = round % TENANTS;
        took.push(one(&cluster, &clock, &committed, tenant, round).await?);
    }
    running.stop().cancel();
    running.ended().await;
    report(
        "evidence_to_decision",
        took.iter().map(|t| t.evidence_to_decision),
    );
    report(
        "decision_to_patch",
        took.iter().map(|t| t.decision_to_patch),
    );
    report(
        "evidence_to_rolled_out",
        took.iter().map(|t| t.evidence_to_rolled_out),
    );
    println!("rollbacks {}", took.len());
    Ok(())
}

/// Bad looks, and what is not a look.
fn worth_keeping(change: &Change) -> bool {
    match change {
        Change::Keep(sample) => sample.outcome() == Outcome::Bad,
        _ => true,
    }
}

/// One bad release of one tenant, until its rollback has succeeded and all is quiet again.
async fn one(
    cluster: &SimCluster,
    clock: &Clock,
    committed: &Committed,
    tenant: u32,
    round: u32,
) -> anyhow::Result<Took> {
    let namespace = format!("tenant-{tenant}");
    committed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
    let released = clock.now();
    cluster
        .set_image(&namespace, "shop", &format!("shop:v{}-err25", round + 1))
        .await?;
    let find = |pick: &dyn Fn(&Change) -> Option<Timestamp>| {
        let list = committed.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().find_map(pick)
    };
    let own = |id: &str| id == namespace;
    let decided = |change: &Change| match change {
        Change::Decision(decision)
            if own(decision.workload.tenant.0.as_str())
                && matches!(decision.verdict, Verdict::RollBack { .. }) =>
        {
            Some(decision.at)
        }
        _ => None,
    };
    let row = |change: &Change, wanted: fn(&Stage) -> bool| match change {
        Change::Rollback(row) if own(row.workload.tenant.0.as_str()) && wanted(&row.stage) => {
            row.steps.last().map(|step| step.at)
        }
        _ => None,
    };
    let decision = until("the decision", || find(&decided)).await?;
    let patched = until("the patch", || {
        find(&|change| {
            row(change, |stage| {
                matches!(stage, Stage::Verifying { since: None })
            })
        })
    })
    .await?;
    let rolled_out = until("the old template to be rolled out", || {
        find(&|change| {
            row(change, |stage| {
                matches!(stage, Stage::Verifying { since: Some(_) })
            })
        })
    })
    .await?;
    until("the end", || {
        find(&|change| row(change, |stage| matches!(stage, Stage::Succeeded)))
    })
    .await
    .with_context(|| format!("round {round}, {namespace}"))?;
    // The breach must be over before the next release, or it would be older than that.
    until("the petition's end", || {
        find(&|change| match change {
            Change::Petition(p) if own(p.workload.tenant.0.as_str()) && !p.standing => Some(p.at),
            _ => None,
        })
    })
    .await?;
    let evidence = find(&|change| match change {
        Change::Keep(sample)
            if own(sample.series.tenant.0.as_str()) && sample.span.to > released =>
        {
            Some(sample.span.to)
        }
        _ => None,
    });
    let evidence = evidence.context("a rollback without a bad look")?;
    Ok(Took {
        evidence_to_decision: decision.since(evidence),
        decision_to_patch: patched.since(decision),
        evidence_to_rolled_out: rolled_out.since(evidence),
    })
}

fn configure(folder: &Path, kubeconfig: &str, proxies: &[ServiceProxy]) -> anyhow::Result<()> {
    let kube = folder.join("kubeconfig");
    std::fs::write(&kube, kubeconfig)?;
    std::fs::create_dir_all(folder.join("config"))?;
    let mut text = format!(
        "daemon:
  listen: 127.0.0.1:0
  store: {{ sqlite: {{ path: \"{}\" }} }}
  kubernetes: {{ access: required, kubeconfig: \"{}\" }}
rollback: {{ mode: act, budget: {{ per_hour: 10000, per_tenant_per_day: 10000 }} }}
tenants:
",
        folder.join("holdfast.db").display(),
        kube.display(),
    );
    for (tenant, proxy) in proxies.iter().enumerate() {
        text.push_str(&format!(
            "  tenant-{tenant}:
    probes:
      shop: {{ http: {{ url: \"{}/\" }}, every: 100ms }}
    objectives:
      error-rate: {{ probe: shop, measure: error_ratio, over: 5s, critical: above 10%, min_samples: 10, rollback: true }}
    workloads:
      shop: {{ deployment: shop, mode: act, bake: 5s, cooldown: 1s, budget: {{ per_day: 10000 }} }}
",
            proxy.url(),
        ));
    }
    std::fs::write(folder.join("config/bench.yaml"), text)?;
    Ok(())
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn report(name: &str, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    // The nearest rank: with few times the 99th is the slowest.
    let rank = |per_cent: usize| (times.len() * per_cent).div_ceil(100).max(1) - 1;
    let at = |per_cent: usize| times[rank(per_cent)].as_secs_f64() * 1e3;
    println!("{name}_p50 {:.1}", at(50));
    println!("{name}_p99 {:.1}", at(99));
    println!("{name}_max {:.1}", at(100));
}
