//! Configurations that change while everything runs: broken ones stop nothing, good ones move only what
//! they change.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::assets;
use crate::support::backend::{Backend, Health};
use crate::support::configmap::ConfigMap;
use crate::support::controlplane::random_hex;
use crate::support::daemon::{Daemon, DaemonPlan, http_client};
use crate::support::eventually::eventually;
use crate::support::process::free_ports;
use crate::support::receiver::Receiver;

const PATIENCE: Duration = Duration::from_secs(60);

/// Probes besides those that a story is about: the load under which everything happens.
const CROWD: usize = 60;

/// How often the slow probe looks: so seldom that a look too many is seen.
const SLOW: Duration = Duration::from_secs(2);

struct Yard {
    backend: Backend,
    receiver: Receiver,
    config: ConfigMap,
    daemon: Daemon,
    /// `holdfast.yaml`, which stays as it is.
    settings: String,
}

impl Yard {
    async fn open(story: &str) -> Self {
        let backend = Backend::start().await;
        let receiver = Receiver::start().await;
        let folder = assets::run_folder().join(format!("{story}-{}", &random_hex()[..6]));
        let [port] = free_ports();
        let settings = format!(
            "daemon:\n  listen: 127.0.0.1:{port}\n  store: {{ sqlite: {{ path: \"{}\" }} }}\n  \
             kubernetes: {{ access: none }}\nreceivers:\n  ops: {{ webhook: {{ url: \"{}\" }} }}\n\
             route: {{ receivers: [ops] }}\n",
            folder.join("holdfast.db").display(),
            receiver.url(),
        );
        let tenants = Tenants::new(&backend).text();
        let files = [
            ("holdfast.yaml", settings.as_str()),
            ("tenants.yaml", tenants.as_str()),
        ];
        let config = ConfigMap::mount(&folder.join("config"), &files);
        let daemon = Daemon::start(DaemonPlan::new(&folder, port)).await;
        Self {
            backend,
            receiver,
            config,
            daemon,
            settings,
        }
    }

    /// Swaps the files as kubelet does.
    fn mount(&mut self, tenants: &str) {
        let settings = self.settings.as_str();
        self.config
            .replace(&[("holdfast.yaml", settings), ("tenants.yaml", tenants)]);
    }

    /// Swaps the files and waits until the daemon has taken them by itself.
    async fn mount_good(&mut self, tenants: &str) {
        let before = self.standing().await["since"].clone();
        self.mount(tenants);
        let path = "/api/v1/config";
        let taken = |standing: &Value| {
            (standing["successful"] == true && standing["since"] != before).then_some(())
        };
        self.daemon
            .wait_for("the new files are in force", path, PATIENCE, taken)
            .await;
    }

    async fn standing(&self) -> Value {
        let standing = self.daemon.get_json("/api/v1/config").await;
        standing.unwrap_or_else(|reason| panic!("{reason}"))
    }

    async fn objective(&self, name: &str) -> Value {
        let what = format!("objective {name} stands somewhere");
        self.daemon
            .wait_for(&what, "/api/v1/objectives", PATIENCE, |list| {
                let rows = list["items"].as_array().or(list.as_array())?;
                rows.iter().find(|row| row["objective"] == name).cloned()
            })
            .await
    }

    /// Waits until an objective is in this state and gives its row.
    async fn state(&self, name: &str, state: &str) -> Value {
        let what = format!("{name} is {state}");
        eventually(&what, PATIENCE, || async {
            let row = self.objective(name).await;
            if row["state"] == state {
                Ok(row)
            } else {
                Err(format!("{row}\n{}", self.daemon.log_end()))
            }
        })
        .await
    }

    async fn heard(&self, objective: &str, status: &str) -> Value {
        let what = format!("{objective} is told as {status}");
        let wanted = |body: &Value| {
            body["status"] == status && body["alerts"][0]["labels"]["objective"] == objective
        };
        self.receiver.wait_for(&what, PATIENCE, wanted).await.json()
    }

    async fn looks(&self, labels: &[(&str, &str)]) -> f64 {
        let looks = self.daemon.metric("holdfast_probes_total", labels).await;
        looks.unwrap_or_default()
    }

    /// Everybody in the crowd is looked at some more, and nothing of it was dropped.
    async fn probing_goes_on(&self) {
        let names: Vec<String> = (0..CROWD).map(|number| format!("p{number}")).collect();
        let mut before = Vec::new();
        for name in &names {
            before.push(
                self.looks(&[("tenant", "crowd"), ("probe", name.as_str())])
                    .await,
            );
        }
        eventually("every probe goes on", PATIENCE, || async {
            for (name, before) in names.iter().zip(&before) {
                let now = self
                    .looks(&[("tenant", "crowd"), ("probe", name.as_str())])
                    .await;
                if now < before + 3.0 {
                    return Err(format!("{name}: {before} looks, and now {now}"));
                }
            }
            Ok(())
        })
        .await;
        let dropped = self.daemon.metric("holdfast_samples_dropped_total", &[]);
        assert_eq!(dropped.await, Some(0.0));
    }

    async fn reload_metric(&self) -> Option<f64> {
        let name = "holdfast_config_last_reload_successful";
        self.daemon.metric(name, &[]).await
    }

    async fn ready(&self) -> u16 {
        let answer = http_client()
            .get(format!("{}/readyz", self.daemon.url()))
            .send()
            .await;
        answer.expect("the daemon answers").status().as_u16()
    }

    async fn ask_reload(&self) -> (u16, Value) {
        let answer = http_client()
            .post(format!("{}/-/reload", self.daemon.url()))
            .send()
            .await
            .expect("the daemon answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("both answers are JSON"))
    }
}

/// `tenants.yaml`, with the parts that stories change.
struct Tenants<'a> {
    backend: &'a Backend,
    /// Of the share of failed looks at `/half`.
    half: &'a str,
    /// Whether `doomed` is promised anything.
    doomed: bool,
    /// Probes that come later.
    added: usize,
}

impl<'a> Tenants<'a> {
    fn new(backend: &'a Backend) -> Self {
        Self {
            backend,
            half: "above 90%",
            doomed: true,
            added: 0,
        }
    }

    fn text(&self) -> String {
        let probe = |name: &str, every: &str| {
            let url = self.backend.url(&format!("/{name}"));
            format!(
                "      {name}: {{ http: {{ url: \"{url}\" }}, every: {every}, timeout: 250ms }}\n"
            )
        };
        let streak = |name: &str| {
            format!(
                "      {name}: {{ probe: {name}, measure: consecutive_failures, critical: at least 3 }}\n"
            )
        };
        let mut text = "tenants:\n  acme:\n    probes:\n".to_owned();
        for name in ["fires", "doomed", "half", "later"] {
            text += &probe(name, "250ms");
        }
        text += &probe("slow", &format!("{}s", SLOW.as_secs()));
        for number in 0..self.added {
            text += &probe(&format!("added{number}"), "250ms");
        }
        text += "    objectives:\n";
        text += &streak("fires");
        text += &streak("later");
        if self.doomed {
            text += &streak("doomed");
        }
        text += &format!(
            "      half: {{ probe: half, measure: error_ratio, over: 10m, min_samples: 20, critical: {} }}\n",
            self.half
        );
        text += "  crowd:\n    probes:\n";
        for number in 0..CROWD {
            text += &probe(&format!("p{number}"), "500ms");
        }
        text
    }

    /// The same with two faults in it.
    fn broken(&self) -> String {
        let text = self.text();
        let broken = text.replace(
            "probe: fires, measure",
            "probe: fires, treshold: 3, measure",
        );
        broken.replace("probe: later, measure", "probe: nowhere, measure")
    }
}

/// What a person sees who checks, or starts on, these files.
fn run_to_its_end(command: &str, files: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder: PathBuf = assets::run_folder().join(format!("broken-{}", &random_hex()[..6]));
    let config = ConfigMap::mount(&folder, files);
    let mut program = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    match command {
        "check" => program.arg("check").arg(config.path()),
        _ => program.arg("run").arg("--config").arg(config.path()),
    };
    let output = program.output().expect("the binary can be run");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_under_load_stops_nothing() {
    let mut yard = Yard::open("reload").await;
    yard.probing_goes_on().await;
    yard.backend.set("/fires", Health::Broken);
    let open = yard.state("fires", "firing").await;
    yard.heard("fires", "firing").await;
    let broken = Tenants::new(&yard.backend).broken();
    let healthy = yard.standing().await;

    // By the files alone.
    yard.mount(&broken);
    let failed = |standing: &Value| (standing["successful"] == false).then(|| standing.clone());
    let path = "/api/v1/config";
    let seen = yard
        .daemon
        .wait_for("the swap of the link is noticed", path, PATIENCE, failed)
        .await;
    yard.is_untouched(&healthy, &open).await;

    // By a signal: it is tried again.
    yard.daemon.hang_up();
    let again = |standing: &Value| (standing["tried"] != seen["tried"]).then(|| standing.clone());
    let by_signal = yard
        .daemon
        .wait_for("SIGHUP is heard", path, PATIENCE, again)
        .await;
    assert_eq!(by_signal["faults"], seen["faults"]);

    // By a request: the asker hears all faults.
    let (status, problem) = yard.ask_reload().await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["faults"], seen["faults"]);
    yard.is_untouched(&healthy, &open).await;

    // Judging and telling go on as well.
    yard.backend.set("/later", Health::Broken);
    yard.heard("later", "firing").await;
    yard.backend.set("/later", Health::Good);
    yard.heard("later", "resolved").await;
    assert_eq!(
        yard.receiver.messages().len(),
        3,
        "and nothing else was told"
    );

    let good = Tenants::new(&yard.backend).text();
    yard.mount_good(&good).await;
    assert_eq!(yard.reload_metric().await, Some(1.0));
    assert_eq!(yard.standing().await["faults"], json!([]));
    assert_eq!(yard.state("fires", "firing").await["alert"], open["alert"]);
}

impl Yard {
    /// A broken configuration lies there, and nobody notices but those who ask.
    async fn is_untouched(&self, healthy: &Value, open: &Value) {
        let standing = self.standing().await;
        assert_eq!(standing["hash"], healthy["hash"], "the old one is in force");
        assert_eq!(standing["since"], healthy["since"]);
        let faults = standing["faults"].as_array().expect("a list");
        let text = standing["faults"].to_string();
        assert_eq!(faults.len(), 2, "{text}");
        for word in ["treshold", "nowhere", "tenants.yaml"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert_eq!(self.reload_metric().await, Some(0.0));
        assert_eq!(self.ready().await, 200);
        self.probing_goes_on().await;
        let now = self.state("fires", "firing").await;
        assert_eq!(now["alert"], open["alert"]);
        assert_eq!(now["since"], open["since"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_reported_alike_by_check_and_by_a_start() {
    let backend = Backend::start().await;
    let broken = Tenants::new(&backend).broken();
    let files = [("tenants.yaml", broken.as_str())];
    let (code, checked) = run_to_its_end("check", &files);
    assert_eq!(code, Some(1), "{checked}");
    let (code, started) = run_to_its_end("run", &files);
    assert_eq!(code, Some(1), "{started}");
    for text in [&checked, &started] {
        assert_eq!(text.matches("error[").count(), 2, "{text}");
        assert!(text.contains("unknown field `treshold`"), "{text}");
        assert!(text.contains("--> tenants.yaml:"), "{text}");
        assert!(text.contains('^'), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_threshold_judges_the_window_that_is_there() {
    let mut yard = Yard::open("threshold").await;
    yard.backend.set("/half", Health::Half);
    yard.backend.set("/fires", Health::Broken);
    let open = yard.state("fires", "firing").await;
    let before = eventually("half is well known", PATIENCE, || async {
        let row = yard.objective("half").await;
        let samples = row["samples"].as_u64().unwrap_or(0);
        if samples >= 40 { Ok(samples) } else { Err(row) }
    })
    .await;
    assert_eq!(yard.objective("half").await["state"], "inactive");

    let lower = Tenants {
        half: "above 40%",
        ..Tenants::new(&yard.backend)
    };
    yard.mount_good(&lower.text()).await;
    let row = yard.state("half", "firing").await;
    let id = row["alert"].as_str().expect("a firing row names its alert");
    let story = yard.daemon.get_json(&format!("/api/v1/alerts/{id}")).await;
    let story = story.unwrap_or_else(|reason| panic!("{reason}"));
    let transitions = story["transitions"].as_array().expect("a list");
    let fired = transitions
        .iter()
        .find(|transition| transition["to"] == "firing")
        .expect("it fires");
    let tally = &fired["evidence"]["tally"];
    let judged = tally["good"].as_u64().unwrap_or(0) + tally["bad"].as_u64().unwrap_or(0);
    // Had the window begun anew, it would have fired at its twentieth event.
    assert!(
        judged >= before,
        "{judged} events were judged, {before} were known: {fired:#}"
    );
    assert_eq!(yard.state("fires", "firing").await["since"], open["since"]);
    println!("{before} events before the reload, judged at once on {judged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_alert_of_a_removed_objective_is_resolved_as_removed_and_told() {
    let mut yard = Yard::open("removed").await;
    yard.backend.set("/fires", Health::Broken);
    yard.backend.set("/doomed", Health::Broken);
    yard.heard("doomed", "firing").await;
    yard.heard("fires", "firing").await;
    let doomed = yard.state("doomed", "firing").await;
    let open = yard.state("fires", "firing").await;
    let without = Tenants {
        doomed: false,
        ..Tenants::new(&yard.backend)
    };
    yard.mount_good(&without.text()).await;
    let told = yard.heard("doomed", "resolved").await;
    let summary = &told["alerts"][0]["annotations"]["summary"];
    assert_eq!(summary, "acme: doomed is no longer watched");
    let id = doomed["alert"].as_str().expect("it was open");
    let story = yard.daemon.get_json(&format!("/api/v1/alerts/{id}")).await;
    let story = story.unwrap_or_else(|reason| panic!("{reason}"));
    let last = story["transitions"]
        .as_array()
        .and_then(|transitions| transitions.last())
        .expect("it has transitions");
    assert_eq!(
        (&last["to"], &last["cause"]),
        (&json!("resolved"), &json!("removed"))
    );
    assert_eq!(yard.state("fires", "firing").await["since"], open["since"]);
    assert_eq!(yard.receiver.messages().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_is_added_moves_no_other() {
    let mut yard = Yard::open("added").await;
    yard.backend.set("/fires", Health::Broken);
    let open = yard.state("fires", "firing").await;
    yard.heard("fires", "firing").await;
    eventually("the slow one is looked at", PATIENCE, || async {
        let looks = yard.backend.asked("/slow").len();
        if looks >= 2 { Ok(()) } else { Err(looks) }
    })
    .await;

    const RELOADS: usize = 12;
    let began = Instant::now();
    let before = yard.backend.asked("/slow").len();
    for added in 1..=RELOADS {
        let more = Tenants {
            added,
            ..Tenants::new(&yard.backend)
        };
        yard.mount(&more.text());
        let (status, answer) = yard.ask_reload().await;
        assert_eq!(status, 200, "{answer}");
    }
    let looks = yard.backend.asked("/slow").len() - before;
    let ticks = began.elapsed().as_millis() / SLOW.as_millis();
    // One tick may have been under way at either end.
    assert!(looks as u128 <= ticks + 2, "{looks} looks in {ticks} ticks");
    println!(
        "{RELOADS} reloads in {:?}: {looks} looks in {ticks} ticks",
        began.elapsed()
    );

    let last = format!("/added{}", RELOADS - 1);
    eventually("what was added is looked at", PATIENCE, || async {
        let looks = yard.backend.asked(&last).len();
        if looks >= 2 { Ok(()) } else { Err(looks) }
    })
    .await;
    yard.probing_goes_on().await;
    let now = yard.state("fires", "firing").await;
    assert_eq!(
        (&now["alert"], &now["since"]),
        (&open["alert"], &open["since"])
    );
    assert_eq!(
        yard.receiver.messages().len(),
        1,
        "told once, over {RELOADS} reloads"
    );
}
