//! A dispatcher in a world of scripted receivers, over the store in memory.
//!
//! Time is paused and the set clock walks with it, so hours pass in milliseconds and nothing sleeps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::daemon::dispatcher::flight::Outcome;
use crate::daemon::dispatcher::{Dispatcher, Ended};
use crate::domain::change::{Batch, Change, Fence, Role};
use crate::domain::delivery::{Delivery, DeliveryState, Message, Reason, Status, delivery_id};
use crate::domain::id::{BatchId, DeliveryId, Digest, Name};
use crate::domain::objective::Severity;
use crate::domain::outbox::RetrySchedule;
use crate::domain::rollback::Term;
use crate::domain::spec::{Address, Channel, Receiver, Spec};
use crate::domain::time::Timestamp;
use crate::notify::{Sender, Sent};
use crate::store::memory::Memory;
use crate::store::{Store, Window};
use crate::telemetry::metrics::Metrics;

const STEP: Duration = Duration::from_millis(20);

pub fn start() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

/// What a scripted receiver does with a message.
#[derive(Clone, Debug)]
pub enum Reply {
    Say(Sent),
    Hang,
}

pub fn taken() -> Reply {
    Reply::Say(Sent::Taken("200 OK".into()))
}

pub fn busy(after: Option<u64>) -> Reply {
    Reply::Say(Sent::Again {
        why: "429 Too Many Requests".into(),
        after: after.map(Duration::from_secs),
    })
}

/// A receiver that answers by script, then takes everything (or hangs for ever); it keeps what it took
/// part in.
#[derive(Debug)]
pub struct Script {
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
    pub fn statuses(&self) -> Vec<&'static str> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, _, status)| *status).collect()
    }

    pub fn ids(&self) -> Vec<DeliveryId> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, id, _)| *id).collect()
    }

    pub fn seconds(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(at, _, _)| at.as_secs()).collect()
    }
}

pub struct World {
    pub store: Arc<Memory>,
    pub term: Term,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub specs: watch::Sender<Arc<Spec>>,
    pub hint: Arc<Notify>,
    pub scripts: Arc<Mutex<BTreeMap<Name, Arc<Script>>>>,
    pub tasks: JoinSet<()>,
    pub ended: Arc<Mutex<Option<Ended>>>,
    pub stop: CancellationToken,
    pub batches: u64,
}

impl World {
    pub async fn new(receivers: &[&str]) -> Self {
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

    pub fn configure(&self, receivers: &[&str]) {
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

    pub fn script(&self, receiver: &str, replies: &[Reply], then: Reply) -> Arc<Script> {
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
    pub fn run(&mut self) {
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
    pub async fn crash(&mut self) {
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

    pub async fn put(&mut self, deliveries: &[Delivery]) {
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

    pub fn delivery(&self, receiver: &str, thread: &str, order: u64, reason: Reason) -> Delivery {
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
    pub async fn rows(&self) -> Vec<String> {
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
    pub async fn quiet_within(&self, seconds: u64) {
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

    pub async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub fn counted(&self, receiver: &str, outcome: Outcome) -> u64 {
        let labels = outcome.labels(&receiver.parse().unwrap());
        self.metrics.deliveries.get_or_create(&labels).get()
    }
}
