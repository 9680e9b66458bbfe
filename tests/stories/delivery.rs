//! Receivers that misbehave: everything is delivered in the end, in order, and nobody else waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::support::assets;
use crate::support::backend::{Backend, Health};
use crate::support::controlplane::random_hex;
use crate::support::daemon::{Daemon, DaemonPlan};
use crate::support::eventually::eventually;
use crate::support::process::free_ports;
use crate::support::receiver::{Behaviour, Post, Receiver};

/// Longer than a hanging try (10 s) and the pauses of the tries after it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Each with a probe, an objective and a path of its own. Not more than a receiver's threads that may be
/// in flight together: what was never tried and is over is rightly not told at all.
const PATHS: [&str; 3] = ["a", "b", "c"];

/// What the limited receiver asks for.
const RETRY_AFTER: Duration = Duration::from_secs(3);

/// Receivers by name. The first behaves; the second breaks off after a status of 200, which is the whole
/// answer: it has been told.
const RECEIVERS: [&str; 7] = [
    "healthy", "breaking", "down", "limited", "failing", "closing", "hanging",
];

/// Those that take nothing while they misbehave, and answer at once if at all.
const REFUSING: [&str; 4] = ["down", "limited", "failing", "closing"];

struct Yard {
    backend: Backend,
    receivers: BTreeMap<&'static str, Receiver>,
    daemon: Daemon,
}

impl Yard {
    async fn open(story: &str) -> Self {
        let backend = Backend::start().await;
        let mut receivers = BTreeMap::new();
        for name in RECEIVERS {
            receivers.insert(name, Receiver::start().await);
        }
        let folder = assets::run_folder().join(format!("{story}-{}", &random_hex()[..6]));
        std::fs::create_dir_all(folder.join("config")).expect("the run's folder is writable");
        let [port] = free_ports();
        let text = configuration(&folder.join("holdfast.db"), port, &backend, &receivers);
        std::fs::write(folder.join("config/holdfast.yaml"), text).expect("it is writable");
        let daemon = Daemon::start(DaemonPlan::new(&folder, port)).await;
        Self {
            backend,
            receivers,
            daemon,
        }
    }

    fn receiver(&self, name: &str) -> &Receiver {
        &self.receivers[name]
    }

    fn set_all(&self, health: Health) {
        for path in PATHS {
            self.backend.set(&format!("/{path}"), health);
        }
    }

    async fn misbehave(&mut self) {
        let down = self.receivers.get_mut("down").expect("it is one of them");
        down.go_down().await;
        self.receiver("limited").behave(Behaviour::TooMany {
            retry_after_seconds: RETRY_AFTER.as_secs(),
        });
        self.receiver("failing").behave(Behaviour::Status(500));
        self.receiver("hanging").behave(Behaviour::Hang);
        self.receiver("closing").behave(Behaviour::CloseUnanswered);
        self.receiver("breaking").behave(Behaviour::CloseMidBody);
    }

    fn behave(&mut self) {
        for receiver in self.receivers.values_mut() {
            receiver.come_up();
            receiver.behave(Behaviour::Ok);
        }
    }

    /// Waits until a receiver has taken a message of this status about every path.
    async fn heard(&self, name: &str, status: &str) {
        let what = format!(
            "{name} has heard {status} of everything\n{}",
            self.daemon.log_end()
        );
        eventually(&what, PATIENCE, || async {
            let messages = self.receiver(name).messages();
            let heard: BTreeSet<String> = messages
                .iter()
                .filter(|post| post.json()["status"] == status)
                .map(objective)
                .collect();
            if heard.len() == PATHS.len() {
                Ok(())
            } else {
                let posts = self.receiver(name).posts().len();
                Err(format!("{heard:?} of {posts} posts"))
            }
        })
        .await;
    }

    /// Waits until every receiver that misbehaves has been tried for every path, at least twice.
    async fn tried_again(&self) {
        for name in REFUSING {
            let what = format!("{name} was tried again\n{}", self.daemon.log_end());
            eventually(&what, PATIENCE, || async {
                let retried = self
                    .daemon
                    .metric(
                        "holdfast_deliveries_total",
                        &[("receiver", name), ("outcome", "retried")],
                    )
                    .await
                    .unwrap_or_default();
                if retried >= 2.0 * PATHS.len() as f64 {
                    Ok(())
                } else {
                    Err(retried)
                }
            })
            .await;
        }
        let hangs = || async {
            let posts = self.receiver("hanging").posts().len();
            if posts >= PATHS.len() {
                Ok(())
            } else {
                Err(posts)
            }
        };
        eventually("the hanging one was asked", PATIENCE, hangs).await;
    }

    async fn deliveries(&self) -> Result<Vec<Value>, String> {
        let list = self.daemon.get_json("/api/v1/deliveries?limit=200").await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until nothing is due any more; gives all deliveries.
    async fn quiet(&self) -> Vec<Value> {
        let what = format!("nothing is due any more\n{}", self.daemon.log_end());
        eventually(&what, PATIENCE, || async {
            let all = self.deliveries().await?;
            let due: Vec<&Value> = all.iter().filter(|row| row["state"] == "due").collect();
            if due.is_empty() {
                Ok(all)
            } else {
                Err(format!("{due:?}"))
            }
        })
        .await
    }

    /// What must be true of every receiver in the end.
    fn check(&self, name: &str, deliveries: &[Value], tells_twice: bool) {
        let receiver = self.receiver(name);
        let mine: Vec<&Value> = deliveries
            .iter()
            .filter(|row| row["receiver"] == name)
            .collect();
        assert_eq!(mine.len(), 2 * PATHS.len(), "{name}: {mine:#?}");
        for row in &mine {
            assert_eq!(row["state"], "delivered", "{name}: {row:#}");
        }
        let taken = taken(name, receiver);
        let keys: BTreeSet<&str> = taken.iter().filter_map(Post::idempotency_key).collect();
        let ids: BTreeSet<&str> = mine.iter().filter_map(|row| row["id"].as_str()).collect();
        assert_eq!(
            keys, ids,
            "{name}: every delivery arrived under its own key"
        );
        if !tells_twice {
            assert_eq!(taken.len(), ids.len(), "{name}: and each was taken once");
        }
        for path in PATHS {
            let mut told: Vec<String> = taken
                .iter()
                .filter(|post| objective(post) == path)
                .map(|post| post.json()["status"].as_str().unwrap_or("?").to_owned())
                .collect();
            told.dedup();
            assert_eq!(told, ["firing", "resolved"], "{name} about {path}");
        }
    }
}

/// The posts that the sender could see being taken: a status of 200 is the whole answer, also of a
/// receiver that breaks off after it.
fn taken(name: &str, receiver: &Receiver) -> Vec<Post> {
    let posts = receiver.posts();
    let was_taken = |post: &Post| post.accepted || name == "breaking";
    posts.into_iter().filter(was_taken).collect()
}

fn objective(post: &Post) -> String {
    let body = post.json();
    let name = body["alerts"][0]["labels"]["objective"].as_str();
    name.expect("every alert names its objective").to_owned()
}

fn configuration(
    store: &std::path::Path,
    port: u16,
    backend: &Backend,
    receivers: &BTreeMap<&'static str, Receiver>,
) -> String {
    let mut text = format!(
        "daemon:\n  listen: 127.0.0.1:{port}\n  store: {{ sqlite: {{ path: \"{}\" }} }}\n  \
         kubernetes: {{ access: none }}\nreceivers:\n",
        store.display(),
    );
    for (name, receiver) in receivers {
        text += &format!(
            "  {name}: {{ webhook: {{ url: \"{}\" }} }}\n",
            receiver.url()
        );
    }
    text += &format!("route: {{ receivers: [{}] }}\n", RECEIVERS.join(", "));
    text += "tenants:\n  acme:\n    probes:\n";
    for path in PATHS {
        let url = backend.url(&format!("/{path}"));
        text += &format!(
            "      {path}: {{ http: {{ url: \"{url}\" }}, every: 250ms, timeout: 250ms, retries: 0 }}\n"
        );
    }
    text += "    objectives:\n";
    for path in PATHS {
        text += &format!(
            "      {path}: {{ probe: {path}, measure: consecutive_failures, critical: at least 4 }}\n"
        );
    }
    text
}

/// The pauses between the tries of one delivery.
fn pauses(posts: &[Post]) -> Vec<Duration> {
    let mut by_key: BTreeMap<&str, Vec<&Post>> = BTreeMap::new();
    for post in posts {
        let key = post
            .idempotency_key()
            .expect("every post names its delivery");
        by_key.entry(key).or_default().push(post);
    }
    by_key
        .values()
        .flat_map(|tries| tries.windows(2).map(|two| two[1].at - two[0].at))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_misbehave_are_told_everything_in_the_end_and_delay_nobody() {
    let mut yard = Yard::open("delivery").await;
    yard.misbehave().await;
    yard.set_all(Health::Broken);
    yard.heard("healthy", "firing").await;
    yard.tried_again().await;
    let hanging = yard.receiver("hanging").posts().len();
    yard.set_all(Health::Good);
    yard.heard("healthy", "resolved").await;
    // The healthy one knows the whole story before any other of them has taken anything.
    for name in &RECEIVERS[2..] {
        assert_eq!(yard.receiver(name).accepted().len(), 0, "{name}");
    }
    assert!(hanging >= PATHS.len());
    let limited = pauses(&yard.receiver("limited").posts());
    assert!(!limited.is_empty());
    for pause in limited {
        assert!(
            pause >= RETRY_AFTER,
            "Retry-After was {RETRY_AFTER:?}, tried after {pause:?}"
        );
    }

    yard.behave();
    for name in RECEIVERS.iter().filter(|name| **name != "breaking") {
        yard.heard(name, "resolved").await;
    }
    let deliveries = yard.quiet().await;
    for name in RECEIVERS {
        yard.check(name, &deliveries, false);
    }
    println!("tries: {:?}", yard.tries());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_retried_goes_on_after_kill_9() {
    let mut yard = Yard::open("delivery-kill").await;
    yard.misbehave().await;
    yard.set_all(Health::Broken);
    yard.heard("healthy", "firing").await;
    yard.tried_again().await;
    yard.daemon.kill_9().await;
    // It is over while nobody looks.
    yard.set_all(Health::Good);
    yard.daemon.restart().await;
    yard.heard("healthy", "resolved").await;
    for name in &RECEIVERS[2..] {
        assert_eq!(yard.receiver(name).accepted().len(), 0, "{name}");
    }
    yard.daemon.kill_9().await;
    yard.behave();
    yard.daemon.restart().await;
    for name in RECEIVERS.iter().filter(|name| **name != "breaking") {
        yard.heard(name, "resolved").await;
    }
    let deliveries = yard.quiet().await;
    for name in RECEIVERS {
        // What was taken in the moment of a kill is sent again, under the same key.
        yard.check(name, &deliveries, matches!(name, "healthy" | "breaking"));
    }
    println!("tries: {:?}", yard.tries());
}

impl Yard {
    /// How many posts each receiver saw, and how many it took: for whoever reads the log.
    fn tries(&self) -> BTreeMap<&str, (usize, usize)> {
        let counted = |(name, receiver): (&&'static str, &Receiver)| {
            (*name, (receiver.posts().len(), taken(name, receiver).len()))
        };
        self.receivers.iter().map(counted).collect()
    }
}
