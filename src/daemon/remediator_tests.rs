//! The acting loop against the simulated cluster, with a steward that does no more than take happenings
//! to the row and keep it.

use std::sync::Mutex;

use jiff::SignedDuration;
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use super::*;
use crate::cluster::connect;
use crate::cluster::kubernetes::Kubernetes;
use crate::domain::decision::Trigger;
use crate::domain::id::{DecisionId, Digest, TemplateDigest};
use crate::domain::rollback::TrialEnd;
use crate::domain::rollout::Seen;
use crate::domain::time::Timestamp;
use crate::sim::api::{Effect, Fault, Meets};
use crate::sim::{SimCluster, SimOptions};

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// The rows, and who steps them. `forgets`: how many reports are lost before their commit.
struct Rows {
    rows: Mutex<BTreeMap<RollbackId, Rollback>>,
    forgets: Mutex<u32>,
    clock: Clock,
}

#[path = "remediator_rows.rs"]
mod rows;

#[async_trait]
impl StewardDesk for Rows {
    async fn happened(&self, id: RollbackId, happening: Happening) -> Option<Rollback> {
        let mut forgets = self.forgets.lock().unwrap();
        if *forgets > 0 {
            *forgets -= 1;
            return None;
        }
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&id)?;
        row.step(&happening, self.clock.now());
        Some(row.clone())
    }
}

struct World {
    cluster: Arc<SimCluster>,
    platform: Kubernetes,
    rows: Arc<Rows>,
    lead: watch::Sender<Leadership>,
    hint: Arc<Notify>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: TaskTracker,
}

fn web() -> WorkloadRef {
    WorkloadRef::deployment("shop", "web")
}

fn leads(term: u64) -> Leadership {
    Leadership::Leads {
        term: Term(term),
        until: Instant::now() + Duration::from_secs(600),
    }
}

impl World {
    /// A cluster in which v2 came after v1, and a remediator that does not lead yet.
    async fn begin() -> Self {
        let started = Instant::now();
        let begin: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let now = Arc::new(move || begin + SignedDuration::try_from(started.elapsed()).unwrap());
        let cluster = SimCluster::start(now, SimOptions::default()).await.unwrap();
        cluster
            .apply_deployment("shop", "web", "shop:v1", 2)
            .await
            .unwrap();
        cluster.rolled_out("shop", "web", SOON).await.unwrap();
        cluster.set_image("shop", "web", "shop:v2").await.unwrap();
        cluster.rolled_out("shop", "web", SOON).await.unwrap();
        Self::on(Arc::new(cluster))
    }

    /// Another process, with a store of its own, on the same cluster.
    fn beside(&self) -> Self {
        Self::on(self.cluster.clone())
    }

    fn on(cluster: Arc<SimCluster>) -> Self {
        let config = kube::Config::new(cluster.url().parse().unwrap());
        let clients = connect::clients(&config).unwrap();
        let clock = Clock::set(Timestamp::from_secs(1_767_603_600));
        let platform = Kubernetes::new(clients.calls, clock.clone(), "test");
        let rows = Arc::new(Rows {
            rows: Mutex::default(),
            forgets: Mutex::new(0),
            clock: clock.clone(),
        });
        let (lead, leadership) = watch::channel(Leadership::Follows);
        let hint = Arc::new(Notify::new());
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let remediator = Remediator {
            store: rows.clone(),
            platform: Arc::new(platform.clone()),
            desk: rows.clone(),
            leadership,
            margin: Duration::from_secs(3),
            clock,
            metrics: metrics.clone(),
            hint: hint.clone(),
        };
        let (stop, task) = (CancellationToken::new(), TaskTracker::new());
        task.spawn(remediator.run(stop.clone()));
        task.close();
        Self {
            cluster,
            platform,
            rows,
            lead,
            hint,
            metrics,
            stop,
            task,
        }
    }

    async fn seen(&self) -> Seen {
        let deadline = Instant::now() + SOON;
        loop {
            let seen = self.platform.look(&web()).await.unwrap().unwrap();
            if seen.revision.is_some() && seen.rolled_out() {
                return seen;
            }
            assert!(Instant::now() < deadline, "not settled: {seen:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks for a rollback of what is there to v1.
    async fn request(&self) -> (RollbackId, TemplateDigest) {
        let seen = self.seen().await;
        let rollout = seen.rollout_id().unwrap();
        let to = seen.revisions[0].template;
        let id = rollout.rollback();
        let row = Rollback {
            id,
            attempt: 1,
            decision: DecisionId(Digest::of(&["decision"])),
            workload: "acme/web".parse().unwrap(),
            target: web(),
            rollout,
            to,
            trigger: Trigger::ProgressDeadline,
            requested: self.rows.clock.now(),
            applied: None,
            ended: None,
            term: Term(1),
            conflicts: 0,
            stage: Stage::Requested,
            steps: Vec::new(),
        };
        self.rows.rows.lock().unwrap().insert(id, row);
        self.hint.notify_one();
        (id, to)
    }

    fn row(&self, id: RollbackId) -> Rollback {
        self.rows.rows.lock().unwrap()[&id].clone()
    }

    async fn until(&self, id: RollbackId, stage: &str) -> Rollback {
        let deadline = Instant::now() + SOON;
        loop {
            let row = self.row(id);
            if row.stage.as_str() == stage {
                return row;
            }
            assert!(Instant::now() < deadline, "not {stage}: {row:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn patch_meets(&self, effect: Effect) {
        let meets = Meets {
            verb: Some("patch"),
            resource: Some("deployments"),
            ..Meets::default()
        };
        self.cluster.inject(Fault::once(meets, effect));
    }

    /// Codes of the answers to patches that put a template back.
    fn undos(&self) -> Vec<u16> {
        let sent = self.cluster.audit().of("patch", "deployments").into_iter();
        let own = sent.filter(|sent| sent.field_manager == "holdfast" && sent.body.is_array());
        own.map(|sent| sent.code).collect()
    }

    fn reasons(&self) -> Vec<String> {
        let events = self.cluster.audit().of("create", "events").into_iter();
        let own = events.filter(|sent| sent.body["reportingController"] == "holdfast.dev/holdfast");
        own.map(|sent| sent.body["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn the_leader_carries_a_rollback_out_once_and_tells_its_end() {
    let world = World::begin().await;
    let (id, to) = world.request().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.undos(), Vec::<u16>::new(), "a follower does nothing");
    assert_eq!(world.row(id).stage, Stage::Requested);

    world.lead.send_replace(leads(2));
    let row = world.until(id, "verifying").await;
    assert_eq!(
        row.term,
        Term(2),
        "what was open before the term is claimed in it"
    );
    let seen = world.seen().await;
    assert_eq!(
        (seen.template, seen.marks.rollback, seen.marks.term),
        (to, Some(id), Some(2))
    );
    assert_eq!(world.undos(), [200]);

    world.rows.happened(id, Happening::RolledOut).await;
    world
        .rows
        .happened(id, Happening::Tried(TrialEnd::Recovered))
        .await;
    world.hint.notify_one();
    let deadline = Instant::now() + SOON;
    while world.reasons().len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", world.reasons());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.reasons(), ["RolledBack", "RollbackSucceeded"]);
    let labels = RollbackLabels {
        namespace: "shop".to_owned(),
        workload: "web".to_owned(),
        trigger: "progress-deadline".to_owned(),
        outcome: "succeeded".to_owned(),
    };
    assert_eq!(world.metrics.rollbacks.get_or_create(&labels).get(), 1);
    assert_eq!(world.undos(), [200]);
    world.end().await;
}

#[tokio::test]
async fn a_lost_answer_is_resolved_by_looking_and_one_patch_is_sent() {
    let world = World::begin().await;
    world.lead.send_replace(leads(1));
    world.patch_meets(Effect::LoseAnswer);
    let (id, to) = world.request().await;
    let row = world.until(id, "verifying").await;
    assert_eq!(world.undos(), [200]);
    assert!(
        row.steps.iter().any(|step| step.what.contains("lost")),
        "{:?}",
        row.steps
    );
    assert_eq!(world.seen().await.template, to);
    world.end().await;
}

#[tokio::test]
async fn a_patch_that_did_not_arrive_is_sent_again() {
    let world = World::begin().await;
    world.lead.send_replace(leads(1));
    world.patch_meets(Effect::Unavailable);
    world.patch_meets(Effect::Refuse);
    let (id, to) = world.request().await;
    world.until(id, "verifying").await;
    assert_eq!(world.seen().await.template, to);
    let accepted = world.undos().into_iter().filter(|code| *code == 200);
    assert_eq!(accepted.count(), 1);
    world.end().await;
}

#[tokio::test]
async fn a_report_that_is_not_committed_permits_nothing() {
    let world = World::begin().await;
    world.lead.send_replace(leads(1));
    *world.rows.forgets.lock().unwrap() = u32::MAX;
    let (id, _) = world.request().await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(world.undos(), Vec::<u16>::new());
    assert_eq!(world.row(id).stage, Stage::Requested);
    *world.rows.forgets.lock().unwrap() = 0;
    world.until(id, "verifying").await;
    assert_eq!(world.undos(), [200]);
    world.end().await;
}

#[tokio::test]
async fn what_somebody_changed_while_the_patch_was_on_its_way_stays() {
    let world = World::begin().await;
    world.lead.send_replace(leads(1));
    world.patch_meets(Effect::Delay(Duration::from_millis(600)));
    let (id, _) = world.request().await;
    world.until(id, "applying").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world
        .cluster
        .set_image("shop", "web", "shop:v3")
        .await
        .unwrap();
    let row = world.until(id, "superseded").await;
    assert_eq!((row.conflicts, world.undos()), (1, vec![409]));
    let deployment = world.cluster.rolled_out("shop", "web", SOON).await.unwrap();
    let template = serde_json::to_value(&deployment).unwrap();
    let image = template
        .pointer("/spec/template/spec/containers/0/image")
        .unwrap();
    assert_eq!(image, "shop:v3");
    world.end().await;
}

#[tokio::test]
async fn a_leadership_that_is_nearly_over_begins_nothing() {
    let world = World::begin().await;
    let until = Instant::now() + Duration::from_secs(2);
    world.lead.send_replace(Leadership::Leads {
        term: Term(1),
        until,
    });
    let (id, _) = world.request().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        (world.undos(), world.row(id).stage),
        (vec![], Stage::Requested)
    );
    world.end().await;
}

#[tokio::test]
async fn a_leader_that_was_frozen_before_its_patch_comes_too_late() {
    let first = World::begin().await;
    let second = first.beside();
    first.lead.send_replace(leads(1));
    // Between its look at the leadership and the write the first one stands still.
    first.patch_meets(Effect::Delay(Duration::from_secs(3)));
    let (id, to) = first.request().await;
    first.until(id, "applying").await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    first.lead.send_replace(Leadership::Follows);
    let (same, _) = second.request().await;
    assert_eq!(same, id, "both know the rollback by the same id");
    second.lead.send_replace(leads(2));
    second.until(id, "verifying").await;
    let seen = second.seen().await;
    assert_eq!((seen.template, seen.marks.term), (to, Some(2)));

    let deadline = Instant::now() + SOON;
    while first.undos().len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", first.undos());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut codes = first.undos();
    codes.sort_unstable();
    assert_eq!(codes, [200, 409]);
    assert_eq!(second.seen().await.resource_version, seen.resource_version);
    first.end().await;
    second.end().await;
}
