//! Time is paused and the set clock walks with it, so hours pass in milliseconds and nothing sleeps.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use super::*;
use crate::domain::delivery::{Message, Reason, Status, delivery_id};
use crate::domain::id::DeliveryId;
use crate::domain::objective::Severity;
use crate::domain::spec::{Address, Channel};
use crate::store::Window;
use crate::store::memory::{Fault, Memory};

const STEP: Duration = Duration::from_millis(20);

fn start() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

/// What a scripted receiver does with a message.
#[derive(Clone, Debug)]
enum Reply {
    Say(Sent),
    Hang,
}

fn taken() -> Reply {
    Reply::Say(Sent::Taken("200 OK".into()))
}

fn busy(after: Option<u64>) -> Reply {
    Reply::Say(Sent::Again {
        why: "429 Too Many Requests".into(),
        after: after.map(Duration::from_secs),
    })
}

/// A receiver that answers by script, then takes everything (or hangs for ever); it keeps what it took
/// part in.
#[derive(Debug)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    then: Reply,
    clock: Clock,
    seen: Mutex<Vec<(Duration, DeliveryId, &'static str)>>,
}

#[async_trait]
impl Sender for Script {
    async fn send(&self, delivery: &Delivery, now: Timestamp) -> Sent {
        let status = delivery.message.status.as_str();
        let at = self.clock.now().since(start());
        assert_eq!(now.since(start()), at);
        self.seen.lock().unwrap().push((at, delivery.id, status));
        let reply = self.replies.lock().unwrap().pop_front();
        match reply.unwrap_or_else(|| self.then.clone()) {
            Reply::Say(sent) => sent,
            Reply::Hang => std::future::pending().await,
        }
    }
}

impl Script {
    fn statuses(&self) -> Vec<&'static str> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, _, status)| *status).collect()
    }

    fn ids(&self) -> Vec<DeliveryId> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, id, _)| *id).collect()
    }

    fn seconds(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(at, _, _)| at.as_secs()).collect()
    }
}

struct World {
    store: Arc<Memory>,
    term: Term,
    clock: Clock,
    metrics: Arc<Metrics>,
    specs: watch::Sender<Arc<Spec>>,
    hint: Arc<Notify>,
    scripts: Arc<Mutex<BTreeMap<Name, Arc<Script>>>>,
    tasks: JoinSet<()>,
    ended: Arc<Mutex<Option<Ended>>>,
    stop: CancellationToken,
    batches: u64,
}

impl World {
    async fn new(receivers: &[&str]) -> Self {
        let clock = Clock::set(start());
        let mut tasks = JoinSet::new();
        let walking = clock.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(STEP).await;
                walking.advance(STEP);
            }
        });
        let store = Arc::new(Memory::new());
        let term = store.claim(Role::Teller, Term(1)).await.unwrap();
        let world = Self {
            store,
            term,
            clock,
            metrics: Arc::new(Metrics::register(&mut Registry::default())),
            specs: watch::Sender::new(Arc::default()),
            hint: Arc::default(),
            scripts: Arc::default(),
            tasks,
            ended: Arc::default(),
            stop: CancellationToken::new(),
            batches: 0,
        };
        world.configure(receivers);
        world
    }

    fn configure(&self, receivers: &[&str]) {
        let receiver = |name: &&str| {
            let name: Name = name.parse().unwrap();
            let channel = Channel::Webhook {
                url: Address::Plain("http://127.0.0.1:1/".into()),
                secret: None,
            };
            let receiver = Receiver {
                name: name.clone(),
                channel,
            };
            (name, Arc::new(receiver))
        };
        self.specs.send_replace(Arc::new(Spec {
            receivers: receivers.iter().map(receiver).collect(),
            ..Spec::default()
        }));
    }

    fn script(&self, receiver: &str, replies: &[Reply], then: Reply) -> Arc<Script> {
        let script = Arc::new(Script {
            replies: Mutex::new(replies.iter().cloned().collect()),
            then,
            clock: self.clock.clone(),
            seen: Mutex::default(),
        });
        let name: Name = receiver.parse().unwrap();
        let mut scripts = self.scripts.lock().unwrap();
        scripts.insert(name, Arc::clone(&script));
        script
    }

    /// Starts a dispatcher in the present term.
    fn run(&mut self) {
        let scripts = Arc::clone(&self.scripts);
        let dispatcher = Dispatcher {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            term: self.term,
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            specs: self.specs.subscribe(),
            hint: Arc::clone(&self.hint),
            build: Arc::new(move |receiver| {
                Arc::clone(&scripts.lock().unwrap()[&receiver.name]) as Arc<dyn Sender>
            }),
            schedule: RetrySchedule::default(),
        };
        let ended = Arc::clone(&self.ended);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let end = dispatcher.run(stop).await;
            *ended.lock().unwrap() = Some(end);
        });
    }

    /// The process dies; the clock goes on, and the next term begins.
    async fn crash(&mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let walking = self.clock.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::time::sleep(STEP).await;
                walking.advance(STEP);
            }
        });
        self.term = self.store.claim(Role::Teller, Term(1)).await.unwrap();
    }

    async fn put(&mut self, deliveries: &[Delivery]) {
        self.batches += 1;
        let batch = Batch {
            id: BatchId(Digest::of(&[
                b"put".as_slice(),
                &self.batches.to_le_bytes(),
            ])),
            at: self.clock.now(),
            changes: deliveries.iter().cloned().map(Change::Deliver).collect(),
        };
        let fence = Fence {
            role: Role::Teller,
            term: self.term,
        };
        self.store.commit(&batch, fence).await.unwrap();
        self.hint.notify_one();
    }

    fn delivery(&self, receiver: &str, thread: &str, order: u64, reason: Reason) -> Delivery {
        let receiver: Name = receiver.parse().unwrap();
        let thread = Digest::of(&[thread]);
        let status = match reason {
            Reason::Resolved => Status::Resolved,
            Reason::First | Reason::Raised | Reason::Rollback => Status::Firing,
        };
        Delivery {
            id: delivery_id(&receiver, thread, status, order),
            receiver,
            message: Message {
                status,
                reason,
                severity: Severity::Critical,
                thread,
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
                starts_at: start(),
                ends_at: None,
            },
            order,
            created: self.clock.now(),
            due: self.clock.now(),
            attempts: 0,
            term: self.term,
            state: DeliveryState::Due,
        }
    }

    /// `receiver status state attempts: last answer`, in order of receiver and thread.
    async fn rows(&self) -> Vec<String> {
        let window = Window {
            before: None,
            limit: 1_000,
        };
        let mut rows = self.store.deliveries(None, window).await.unwrap();
        rows.sort_by_key(|(row, _)| (row.receiver.clone(), row.message.thread, row.order));
        rows.iter()
            .map(|(row, attempts)| {
                let status = row.message.status.as_str();
                let state = row.state.as_str();
                let answer = attempts.last().map_or("", |last| &*last.answer);
                format!(
                    "{} {status} {state} {}: {answer}",
                    row.receiver, row.attempts
                )
            })
            .collect()
    }

    /// Waits until nothing is due, at most so long.
    async fn quiet_within(&self, seconds: u64) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if self.store.due().await.is_ok_and(|due| due.is_empty()) {
                return;
            }
            let rows = self.rows().await;
            assert!(Instant::now() < deadline, "still due: {rows:#?}");
            tokio::time::sleep(STEP).await;
        }
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn counted(&self, receiver: &str, outcome: Outcome) -> u64 {
        let labels = outcome.labels(&receiver.parse().unwrap());
        self.metrics.deliveries.get_or_create(&labels).get()
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_delays_no_other() {
    let mut world = World::new(&["hook", "ops"]).await;
    let hook = world.script("hook", &[], Reply::Hang);
    let ops = world.script("ops", &[], taken());
    world.run();
    for thread in 0..20 {
        let thread = thread.to_string();
        let both = [
            world.delivery("hook", &thread, 1, Reason::First),
            world.delivery("ops", &thread, 1, Reason::First),
        ];
        world.put(&both).await;
    }
    world.pass(1).await;
    assert_eq!(ops.statuses().len(), 20);
    assert!(ops.seconds().iter().all(|second| *second == 0));
    assert_eq!(hook.statuses().len(), 4, "four threads in flight, not more");
    assert_eq!(world.metrics.outbox_depth.get(), 20);
    assert!(world.metrics.outbox_oldest_age.get() < 1.1);
    world.pass(15).await;
    assert_eq!(hook.statuses().len(), 8, "a hanging one is cut off");
    assert_eq!(world.counted("hook", Outcome::Retried), 4);
    assert_eq!(world.counted("ops", Outcome::Delivered), 20);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_honoured_for_the_whole_receiver_and_the_retry_has_the_same_id() {
    let mut world = World::new(&["hook", "ops"]).await;
    let hook = world.script("hook", &[busy(Some(30))], taken());
    let ops = world.script("ops", &[], taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(1).await;
    let later = [
        world.delivery("hook", "b", 1, Reason::First),
        world.delivery("ops", "b", 1, Reason::First),
    ];
    world.put(&later).await;
    world.quiet_within(40).await;
    assert_eq!(hook.seconds(), [0, 30, 30]);
    assert_eq!(ops.seconds(), [1]);
    assert_eq!(
        hook.ids().iter().filter(|id| **id == hook.ids()[0]).count(),
        2
    );
    assert_eq!(
        world
            .rows()
            .await
            .iter()
            .filter(|row| row.contains("200 OK"))
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn firing_and_resolved_keep_their_order_through_failures() {
    let mut world = World::new(&["hook"]).await;
    let failures = [busy(None), Reply::Hang, busy(None), busy(None)];
    let hook = world.script("hook", &failures, taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(1).await;
    let rest = [
        world.delivery("hook", "a", 2, Reason::Raised),
        world.delivery("hook", "a", 3, Reason::Resolved),
    ];
    world.put(&rest).await;
    world.quiet_within(60).await;
    let firing = "firing";
    assert_eq!(
        hook.statuses(),
        [firing, firing, firing, firing, firing, firing, "resolved"]
    );
    assert_eq!(
        world.rows().await,
        [
            "hook firing delivered 5: 200 OK",
            "hook firing delivered 1: 200 OK",
            "hook resolved delivered 1: 200 OK",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_over_before_it_left_is_cancelled_and_the_history_says_so() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    let episode = [
        world.delivery("hook", "a", 1, Reason::First),
        world.delivery("hook", "a", 2, Reason::Resolved),
    ];
    world.put(&episode).await;
    world.run();
    world.quiet_within(1).await;
    let cancelled = "cancelled: it was over before it was sent";
    assert_eq!(
        world.rows().await,
        [
            format!("hook firing cancelled 0: {cancelled}"),
            format!("hook resolved cancelled 0: {cancelled}"),
        ]
    );
    assert!(hook.statuses().is_empty());
    world.pass(1).await;
    assert_eq!(world.counted("hook", Outcome::Cancelled), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_between_sending_and_recording_the_same_id_is_sent_again_and_never_cancelled()
{
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.store.fail_next(Fault::Unavailable);
    world.run();
    tokio::time::sleep(RECORD_FIRST / 2).await;
    world.store.set_away(true);
    world.pass(60).await;
    let once = ["firing"];
    assert_eq!(
        hook.statuses(),
        once,
        "not sent again while its record is being written"
    );
    world.store.set_away(false);
    world.crash().await;
    world
        .put(&[world.delivery("hook", "a", 2, Reason::Resolved)])
        .await;
    world.run();
    world.quiet_within(5).await;
    assert_eq!(hook.statuses(), ["firing", "firing", "resolved"]);
    assert_eq!(hook.ids()[0], hook.ids()[1]);
    assert_eq!(
        world.rows().await,
        [
            "hook firing delivered 1: 200 OK",
            "hook resolved delivered 1: 200 OK"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_store_neither_sends_nor_counts_twice() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    let faults = [
        Fault::AmbiguousBefore,
        Fault::Unavailable,
        Fault::AmbiguousAfter,
    ];
    for fault in faults {
        world.store.fail_next(fault);
    }
    world.run();
    world.pass(60).await;
    assert_eq!(hook.statuses(), ["firing"]);
    assert_eq!(world.rows().await, ["hook firing delivered 1: 200 OK"]);
    assert_eq!(world.counted("hook", Outcome::Delivered), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_read_again_when_it_is_back() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.store.set_away(true);
    world.run();
    world.pass(10).await;
    assert!(hook.statuses().is_empty());
    world.store.set_away(false);
    world.quiet_within(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_given_up_at_once_and_the_rest_of_its_thread_still_leaves() {
    let mut world = World::new(&["hook"]).await;
    let refused = Reply::Say(Sent::Refused("400 Bad Request".into()));
    world.script("hook", &[refused], taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(1).await;
    world
        .put(&[world.delivery("hook", "a", 2, Reason::Resolved)])
        .await;
    world.quiet_within(5).await;
    assert_eq!(
        world.rows().await,
        [
            "hook firing given-up 1: 400 Bad Request",
            "hook resolved delivered 1: 200 OK"
        ]
    );
    world.pass(1).await;
    assert_eq!(world.counted("hook", Outcome::Refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_waited_for_and_gets_its_message_when_it_is_back() {
    let mut world = World::new(&["ops"]).await;
    let hook = world.script("hook", &[], taken());
    world.script("ops", &[], taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(10).await;
    let row = world.rows().await.remove(0);
    assert!(row.starts_with("hook firing due "), "{row}");
    assert!(
        row.ends_with(": receiver hook is not in the configuration"),
        "{row}"
    );
    world.configure(&["hook", "ops"]);
    world.quiet_within(20).await;
    assert_eq!(hook.statuses(), ["firing"]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_given_up_after_a_day_and_the_row_stays() {
    let mut world = World::new(&["hook"]).await;
    world.script("hook", &[], busy(None));
    let old = Delivery {
        created: start() - Duration::from_secs(25 * 60 * 60),
        attempts: 8,
        ..world.delivery("hook", "a", 1, Reason::First)
    };
    world.put(&[old]).await;
    world.run();
    world.quiet_within(400).await;
    let row = world.rows().await.remove(0);
    assert!(
        row.starts_with("hook firing given-up 10: given up after 1d1h"),
        "{row}"
    );
    assert!(row.ends_with("s: 429 Too Many Requests"), "{row}");
    world.pass(1).await;
    assert_eq!(world.counted("hook", Outcome::GivenUp), 1);
    assert_eq!(world.counted("hook", Outcome::Retried), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_of_an_older_term_stops_when_it_cannot_record() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world.run();
    let mine = world.delivery("hook", "a", 1, Reason::First);
    world
        .put(&[mine, world.delivery("hook", "b", 1, Reason::First)])
        .await;
    world.store.claim(Role::Teller, Term(9)).await.unwrap();
    world.pass(1).await;
    assert_eq!(*world.ended.lock().unwrap(), Some(Ended::Fenced));
    let sent = hook.statuses().len();
    world.pass(60).await;
    assert_eq!(hook.statuses().len(), sent);
    assert_eq!(world.store.due().await.unwrap().len(), 2);
    assert_eq!(world.metrics.outbox_depth.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_land_what_is_in_flight_but_not_for_ever() {
    let mut world = World::new(&["hook", "ops"]).await;
    world.script("hook", &[], Reply::Hang);
    world.script("ops", &[], taken());
    let both = [
        world.delivery("hook", "a", 1, Reason::First),
        world.delivery("ops", "a", 1, Reason::First),
    ];
    world.put(&both).await;
    world.store.fail_next(Fault::Unavailable);
    world.run();
    tokio::time::sleep(RECORD_FIRST / 2).await;
    world.stop.cancel();
    world.pass(1).await;
    assert_eq!(*world.ended.lock().unwrap(), None);
    assert!(
        world
            .rows()
            .await
            .contains(&"ops firing delivered 1: 200 OK".to_owned())
    );
    world.pass(5).await;
    assert_eq!(*world.ended.lock().unwrap(), Some(Ended::Stopped));
    assert!(
        world
            .rows()
            .await
            .contains(&"hook firing due 0: ".to_owned())
    );
}
