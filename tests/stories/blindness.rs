//! Holdfast cannot see: nobody is paged for the tenant, nothing is rolled back, and it says so itself,
//! as its own trouble, once. And what it does see through Prometheus, it counts exactly.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scene::{OBJECTIVE, PATIENCE, Plan, Scene};
use crate::support::backend::Backend;
use crate::support::daemon::http_client;
use crate::support::eventually::eventually;
use crate::support::faults::{Fault, FaultProxy};
use crate::support::nameserver::Nameserver;
use crate::support::receiver::{Post, Receiver};

/// Looks that are void before a story goes on: longer than the window (10 s) and the bake (8 s).
const VOID_LOOKS: f64 = 12.0;

fn sign_in_page() -> Fault {
    Fault::Answer {
        status: 200,
        content_type: "text/html",
        body: "<html><body>Please sign in</body></html>".to_owned(),
    }
}

fn error_page() -> Fault {
    Fault::Answer {
        status: 502,
        content_type: "text/html",
        body: "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned(),
    }
}

/// How often the tenant's probe has looked, by outcome.
async fn looks(scene: &Scene, outcome: &str) -> f64 {
    let labels = [("tenant", "acme"), ("outcome", outcome)];
    let looks = scene.daemon.metric("holdfast_probes_total", &labels).await;
    looks.unwrap_or_default()
}

async fn more_void_looks(scene: &Scene, count: f64) {
    let before = looks(scene, "void").await;
    let what = format!("{count} more looks are void");
    eventually(&what, PATIENCE, || async {
        let now = looks(scene, "void").await;
        if now >= before + count {
            Ok(())
        } else {
            Err(format!(
                "{} so far\n{}",
                now - before,
                scene.daemon.log_end()
            ))
        }
    })
    .await;
}

/// The statuses that a receiver was told of Holdfast's own blindness, each message once.
fn told_of_blindness(receiver: &Receiver) -> Vec<String> {
    let messages = receiver.messages();
    let mut blind: Vec<Value> = messages.iter().map(Post::json).collect();
    blind.retain(|body| body["alerts"][0]["labels"]["alertname"] == "blind");
    for body in &blind {
        let labels = &body["alerts"][0]["labels"];
        assert_eq!(labels["tenant"], "holdfast", "{body:#}");
    }
    let status = |body: &Value| body["status"].as_str().unwrap_or("?").to_owned();
    blind.iter().map(status).collect()
}

async fn hears_of_blindness(scene: &Scene, receiver: &Receiver, expected: &[&str]) {
    let what = format!("told of the blindness: {expected:?}");
    eventually(&what, PATIENCE, || async {
        let told = told_of_blindness(receiver);
        if told == expected {
            Ok(())
        } else {
            Err(format!("{told:?}\n{}", scene.daemon.log_end()))
        }
    })
    .await;
}

/// Nothing was said, decided or done about the tenant and its release.
async fn nothing_about_the_tenant(scene: &Scene, receiver: &Receiver) {
    for post in receiver.posts() {
        let body = post.json();
        let name = &body["alerts"][0]["labels"]["alertname"];
        assert_eq!(*name, "blind", "nothing else is told: {body:#}");
    }
    let path = "/api/v1/alerts?tenant=acme";
    let alerts = scene.daemon.get_json(path).await;
    let alerts = alerts.unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!(alerts["items"], json!([]), "no alert of the tenant");
    assert_eq!(scene.decisions().await, Vec::<Value>::new());
    assert_eq!(scene.rollbacks().await, Vec::<Value>::new());
    let patches = scene.patches();
    assert_eq!(patches.count(), 0, "{patches}");
}

async fn doubt(scene: &Scene) -> Value {
    let list = scene.daemon.get_json("/api/v1/objectives").await;
    let list = list.unwrap_or_else(|reason| panic!("{reason}"));
    let rows = list["items"].as_array().or(list.as_array());
    let rows = rows.expect("a list");
    let row = rows.iter().find(|row| row["objective"] == OBJECTIVE);
    row.expect("the tenant has it").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_cannot_be_asked_blames_no_release() {
    let mut scene = Plan::new("blind-source").by_prometheus().set().await;
    scene.proven("shop:v1").await;
    let faults = [
        ("shop:v2", Fault::Refuse),
        ("shop:v3", Fault::BlackHole),
        ("shop:v4", sign_in_page()),
        ("shop:v5", error_page()),
    ];
    let mut told = Vec::new();
    for (image, fault) in faults {
        let began = Instant::now();
        scene.release(image).await;
        scene.source.set(fault.clone()).await;
        told.push("firing");
        hears_of_blindness(&scene, &scene.ops, &told).await;
        let known = began.elapsed();
        scene.rolled_out().await;
        more_void_looks(&scene, VOID_LOOKS).await;
        let row = doubt(&scene).await;
        assert_eq!(row["verdict"], "inconclusive", "{row:#}");
        assert_eq!(row["state"], "inactive", "{row:#}");
        let trust = scene.trust_now(image).await;
        assert_ne!(trust.as_deref(), Some("proven"), "{image}: by whom?");
        nothing_about_the_tenant(&scene, &scene.ops).await;
        assert_eq!(told_of_blindness(&scene.ops), told, "told once");

        scene.source.set(Fault::Pass).await;
        told.push("resolved");
        hears_of_blindness(&scene, &scene.ops, &told).await;
        scene.proven(image).await;
        eprintln!("{image}, {fault:?}: told of blindness after {known:?}");
    }
    nothing_about_the_tenant(&scene, &scene.ops).await;
    assert_eq!(told_of_blindness(&scene.ops), told);
    for (key, count) in scene.ops.accepted_by_key() {
        assert_eq!(count, 1, "{key}");
    }
    assert_eq!(scene.image().await, "shop:v5");
    scene.assert_nothing_forbidden();
}

/// All ways of Holdfast to the world: the nameserver, the API server, the receiver, and the shop.
struct Ways {
    scene: Scene,
    nameserver: Nameserver,
    oncall: Receiver,
    way_out: FaultProxy,
}

impl Ways {
    async fn open(plan: Plan) -> Self {
        let nameserver = Nameserver::start().await;
        let oncall = Receiver::start().await;
        let way_out = FaultProxy::start(oncall.address()).await;
        let scene = plan
            .environment("HOLDFAST_NAMESERVER", nameserver.address())
            .with(
                "/receivers/ops/webhook/url",
                format!("{}/hook", way_out.url()),
            )
            .set()
            .await;
        Self {
            scene,
            nameserver,
            oncall,
            way_out,
        }
    }

    /// The shop goes last: as long as anything else answers, a shop that does not is the shop's fault.
    async fn cut(&mut self, fault: &Fault) {
        self.nameserver.fall_silent();
        self.way_out.set(fault.clone()).await;
        self.scene.api_server.set(fault.clone()).await;
        self.scene.door.set(fault.clone()).await;
    }

    /// And comes back first.
    async fn mend(&mut self) {
        self.scene.door.set(Fault::Pass).await;
        self.scene.api_server.set(Fault::Pass).await;
        self.way_out.set(Fault::Pass).await;
        self.nameserver.speak();
    }

    /// A good release meets a cut network.
    async fn story(mut self, fault: Fault, void_looks: f64) {
        self.scene.proven("shop:v1").await;
        let before = looks(&self.scene, "bad").await;
        self.scene.release("shop:v2").await;
        self.cut(&fault).await;
        let scene = &self.scene;
        let rows = "/api/v1/objectives";
        let own = |list: &Value| {
            let mut rows = list["items"].as_array().or(list.as_array())?.iter();
            rows.find(|row| row["tenant"] == "holdfast").cloned()
        };
        let what = "Holdfast knows that it is blind";
        let row = scene.daemon.wait_for(what, rows, PATIENCE, own).await;
        assert_eq!(
            (&row["objective"], &row["probe"]),
            (&json!("blind"), &json!("network"))
        );
        more_void_looks(scene, void_looks).await;
        scene.rolled_out().await;
        assert_eq!(self.oncall.posts().len(), 0, "no way led there");
        nothing_about_the_tenant(scene, &self.oncall).await;
        let row = doubt(scene).await;
        assert_eq!(row["state"], "inactive", "{row:#}");
        assert_eq!(looks(scene, "bad").await, before, "no look blamed the shop");

        let mended = Instant::now();
        self.mend().await;
        let scene = &self.scene;
        hears_of_blindness(scene, &self.oncall, &["firing", "resolved"]).await;
        let told = mended.elapsed();
        scene.proven("shop:v2").await;
        nothing_about_the_tenant(scene, &self.oncall).await;
        assert_eq!(told_of_blindness(&self.oncall), ["firing", "resolved"]);
        for (key, count) in self.oncall.accepted_by_key() {
            assert_eq!(count, 1, "{key}");
        }
        assert_eq!(scene.image().await, "shop:v2");
        scene.assert_nothing_forbidden();
        eprintln!("{fault:?}: told of it {told:?} after the network was back");
    }
}

/// The lease is lost before the blindness is known, as it is with all but the quickest of probes: who
/// leads next finds its beginning and its end together, and tells both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_holdfast_that_refuses_everything_blames_no_release() {
    let plan = Plan::new("blind-refused")
        .lease_seconds(3)
        .with("/tenants/acme/probes/storefront/every", "2s")
        .objective("min_samples", 4);
    Ways::open(plan)
        .await
        .story(Fault::Refuse, VOID_LOOKS)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_holdfast_that_swallows_everything_blames_no_release() {
    let plan = Plan::new("blind-swallowed");
    let looks = 4.0 * VOID_LOOKS;
    Ways::open(plan).await.story(Fault::BlackHole, looks).await;
}

/// Requests of the bad release, all of them before it is judged.
const REQUESTS: u64 = 100;

/// The judge may not say anything before it has seen them all, so what it says rests on each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_release_is_found_by_counters_and_every_request_counts_once() {
    let mut scene = Plan::new("counted")
        .by_prometheus()
        .objective("min_samples", REQUESTS)
        .set()
        .await;
    scene.proven("shop:v1").await;
    // The customers leave, so that only the requests below are counted.
    let elsewhere = Backend::start().await;
    let customers =
        |url: String| holdfast::sim::traffic::Traffic::start(url, 20).expect("a plain client");
    scene.traffic = customers(elsewhere.url("/"));
    eventually("the window is empty", PATIENCE, || async {
        let row = doubt(&scene).await;
        if row["samples"] == 0 {
            Ok(())
        } else {
            Err(row)
        }
    })
    .await;
    scene.release("shop:v2-err20").await;
    let rolled_out = scene.rolled_out().await;
    assert_eq!(
        rolled_out
            .status
            .and_then(|status| status.available_replicas),
        Some(2)
    );

    let (good, bad) = ask(&scene).await;
    let asked = Instant::now();
    assert_eq!(
        (good, bad),
        (REQUESTS * 4 / 5, REQUESTS / 5),
        "what the shop answered"
    );
    let hears = async {
        scene.hears(OBJECTIVE, "firing").await;
        asked.elapsed()
    };
    let knows = async {
        prometheus_knows(&scene).await;
        asked.elapsed()
    };
    let (told, known) = tokio::join!(hears, knows);
    scene.undone().await;
    let undone = asked.elapsed();
    let decisions = scene.decisions().await;
    let decision = decisions
        .iter()
        .find(|decision| decision["verdict"] == "roll-back")
        .unwrap_or_else(|| panic!("{decisions:#?}"));
    let evidence = decision["evidence"].as_array().expect("a list");
    assert!(!evidence.is_empty());
    for one in evidence {
        assert_eq!(one["tally"], json!({ "good": good, "bad": bad }), "{one:#}");
        assert_eq!(one["value"], json!(0.2), "{one:#}");
    }
    eprintln!(
        "{REQUESTS} requests, {bad} of them failed; after the last one: Prometheus knew {known:?}, told \
         {told:?}, undone {undone:?}"
    );

    scene.traffic = customers(scene.shop.url());
    scene.rollback(1, "succeeded").await;
    scene.hears(OBJECTIVE, "resolved").await;
    assert_eq!(scene.undos().count(), 1);
    assert_eq!(scene.image().await, "shop:v1");
    assert_eq!(told_of_blindness(&scene.ops), Vec::<String>::new());
}

/// Waits until Prometheus has scraped all of them.
async fn prometheus_knows(scene: &Scene) {
    let prometheus = scene.prometheus.as_ref().expect("the plan asked for it");
    let query = format!(
        "sum(http_requests_total{{namespace=\"{}\",version=\"v2-err20\"}})",
        scene.namespace
    );
    eventually("Prometheus knows every request", PATIENCE, || async {
        let result = prometheus.query(&query).await?;
        let sum = result.first().map(|series| series["value"][1].clone());
        if sum == Some(REQUESTS.to_string().into()) {
            Ok(())
        } else {
            Err(format!("{sum:?}"))
        }
    })
    .await;
}

/// Sends the requests one after the other and gives how many were answered well, and how many badly.
async fn ask(scene: &Scene) -> (u64, u64) {
    let client = http_client();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..REQUESTS {
        let answer = client.get(scene.shop.url()).send().await;
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(200) => good += 1,
            Ok(500) => bad += 1,
            other => panic!("an odd answer of the shop: {other:?}"),
        }
    }
    (good, bad)
}
