//! One loop for any machine: dequeue, step, commit, wake.
//!
//! ```text
//! events ──► step ──► pending changes ──► Store::commit ──► hints, replies, needs
//!   ▲                                          │
//!   └──────────── inbox (posts of others) ◄────┘
//! ```
//!
//! Two lanes: changes that matter now are committed at once, together with whatever waits; samples wait
//! up to 200 ms for company. If the store does not answer, the batch is kept and retried under the same
//! id, and the machine waits: the channel fills, and whoever feeds it counts what it must drop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::change::{Batch, Change, Changes, Fence, Lane, Post, Reply, Seq};
use crate::domain::event::Machine;
use crate::domain::id::{BatchId, Digest};
use crate::domain::need::Need;
use crate::domain::time::Timestamp;
use crate::store::{CommitError, Store};
use crate::telemetry::metrics::Metrics;

/// Events in a machine's channel: half a second of 5 000 looks a second, two minutes of 30-second looks
/// of a thousand probes; what comes when it is full is counted as dropped by whoever sends it.
pub const QUEUE: usize = 4096;
/// Events stepped before the loop looks at its other duties.
const BURST: usize = 512;
/// Posts read from the inbox at once.
const POSTS: usize = 256;
/// How long a sample waits for company (design: batches of at most 200 ms).
const COMPANY: Duration = Duration::from_millis(200);
/// Changes after which a batch is committed without waiting for more.
const BATCH_MAX: usize = 8192;
/// First and longest pause before a batch is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What a driver is handed.
pub enum Input<M: Machine> {
    /// An event.
    Event(M::Event),
    /// A command: answered after its effect is committed.
    Command(M::Event, oneshot::Sender<Reply>),
    /// A question, answered between steps.
    Ask(Box<dyn FnOnce(&M) + Send>),
}

/// The way to a driver; cheap to clone.
pub struct Port<M: Machine> {
    sender: mpsc::Sender<Input<M>>,
    inbox: Arc<Notify>,
}

impl<M: Machine> Clone for Port<M> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            inbox: self.inbox.clone(),
        }
    }
}

// === impl Port ===

impl<M: Machine + 'static> Port<M> {
    /// A port and its other end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Input<M>>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (
            Self {
                sender,
                inbox: Arc::default(),
            },
            receiver,
        )
    }

    /// Hands over an event, waiting for room. False: nobody is there any more.
    pub async fn send(&self, event: M::Event) -> bool {
        self.sender.send(Input::Event(event)).await.is_ok()
    }

    /// Says that there may be something in the inbox.
    pub fn hint(&self) {
        self.inbox.notify_one();
    }

    /// Gives a command and waits for its answer; none: nobody is there.
    pub async fn command(&self, event: M::Event) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.sender.send(Input::Command(event, sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Asks something; none: nobody is there.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&M) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let ask = Box::new(move |machine: &M| {
            // Who asked may have gone; then nobody misses the answer.
            drop(sender.send(question(machine)));
        });
        self.sender.send(Input::Ask(ask)).await.ok()?;
        receiver.await.ok()
    }
}

/// How a driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Somebody else owns the role now.
    Fenced,
}

/// What a driver does its work with.
pub struct Driver<M: Machine> {
    /// The machine.
    pub machine: M,
    /// Where changes are committed.
    pub store: Arc<dyn Store>,
    /// In whose name.
    pub fence: Fence,
    /// What time it is.
    pub clock: Clock,
    /// Where commit times are counted.
    pub metrics: Arc<Metrics>,
    /// Makes an event of a post.
    pub post: fn(Post) -> M::Event,
    /// Told of every committed batch: hints others, counts, narrates.
    pub committed: Arc<dyn Fn(&[Change]) + Send + Sync>,
    /// Where needs go; they are answered with events.
    pub needs: Option<mpsc::Sender<Vec<Need>>>,
    /// The stream of plain events that nobody waits for (the judge's samples).
    pub feed: Option<mpsc::Receiver<M::Event>>,
}

struct Pending {
    changes: Vec<Change>,
    replies: Vec<(oneshot::Sender<Reply>, Reply)>,
    since: Option<Instant>,
    lane: Lane,
}

// === impl Driver ===

impl<M: Machine + 'static> Driver<M> {
    /// Runs until it is stopped or fenced; what was stepped is committed before it returns.
    pub async fn run(
        mut self,
        port: Port<M>,
        mut inputs: mpsc::Receiver<Input<M>>,
        stop: CancellationToken,
    ) -> Ended {
        let mut read = self.store.cursor(self.fence.role).await.unwrap_or_default();
        let mut now = self.clock.now();
        let mut batches = 0_u64;
        let mut pending = Pending {
            changes: Vec::new(),
            replies: Vec::new(),
            since: None,
            lane: Lane::Soon,
        };
        let mut buffer = Changes::default();
        self.begin(&mut inputs, now, &mut buffer, &mut pending);
        port.hint();
        loop {
            let wake = self.machine.wake_at();
            let flush = pending.since.map(|since| since + COMPANY);
            let stopping = stop.is_cancelled();
            // Biased: a stop wins over work, the inbox over new events, so that posts are not starved.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = port.inbox.notified() => {
                    now = now.max(self.clock.now());
                    self.read_inbox(&mut read, now, &mut pending, &port).await;
                }
                input = inputs.recv() => {
                    now = now.max(self.clock.now());
                    let mut next = input;
                    let mut burst = 0;
                    while let Some(input) = next {
                        self.take(input, now, &mut buffer, &mut pending);
                        burst += 1;
                        next = if burst < BURST && pending.changes.len() < BATCH_MAX {
                            inputs.try_recv().ok()
                        } else {
                            None
                        };
                    }
                }
                event = next(&mut self.feed) => {
                    now = now.max(self.clock.now());
                    self.feed(event, now, &mut buffer, &mut pending);
                }
                () = until(wake, &self.clock) => {
                    now = now.max(self.clock.now());
                    self.machine.wake(now, &mut buffer);
                    pending.take(&mut buffer, None);
                }
                () = sleep_until(flush) => {}
            }
            let due = pending
                .since
                .is_some_and(|since| since.elapsed() >= COMPANY);
            let full = pending.changes.len() >= BATCH_MAX;
            if stopping || due || full || pending.lane == Lane::Now {
                batches += 1;
                if self.commit(&mut pending, batches, now, &stop).await == Ended::Fenced {
                    return Ended::Fenced;
                }
            }
            if stopping {
                return Ended::Stopped;
            }
        }
    }

    /// Steps what was handed over before the start. It comes before the inbox: a teller that reads posts
    /// before its configuration knows nobody to tell.
    fn begin(
        &mut self,
        inputs: &mut mpsc::Receiver<Input<M>>,
        now: Timestamp,
        buffer: &mut Changes,
        pending: &mut Pending,
    ) {
        while let Ok(input) = inputs.try_recv() {
            self.take(input, now, buffer, pending);
        }
    }

    /// Steps the event and those that stand behind it, up to a burst.
    fn feed(
        &mut self,
        event: M::Event,
        now: Timestamp,
        buffer: &mut Changes,
        pending: &mut Pending,
    ) {
        let mut next = Some(event);
        let mut burst = 0;
        while let Some(event) = next {
            self.machine.step(&event, now, buffer);
            pending.take(buffer, None);
            burst += 1;
            next = if burst < BURST && pending.changes.len() < BATCH_MAX {
                self.feed.as_mut().and_then(|feed| feed.try_recv().ok())
            } else {
                None
            };
        }
    }

    fn take(
        &mut self,
        input: Input<M>,
        now: Timestamp,
        buffer: &mut Changes,
        pending: &mut Pending,
    ) {
        match input {
            Input::Event(event) => {
                self.machine.step(&event, now, buffer);
                pending.take(buffer, None);
            }
            Input::Command(event, reply) => {
                self.machine.step(&event, now, buffer);
                pending.take(buffer, Some(reply));
            }
            Input::Ask(question) => question(&self.machine),
        }
    }

    async fn read_inbox(
        &mut self,
        read: &mut Seq,
        now: Timestamp,
        pending: &mut Pending,
        port: &Port<M>,
    ) {
        let role = self.fence.role;
        match self.store.inbox(role, *read, POSTS).await {
            Ok(posts) => {
                if posts.len() == POSTS {
                    port.hint();
                }
                let mut buffer = Changes::default();
                for post in posts {
                    *read = post.seq;
                    self.machine.step(&(self.post)(post), now, &mut buffer);
                    pending.take(&mut buffer, None);
                }
            }
            Err(error) => {
                warn!(role = role.as_str(), %error, "the inbox of the {} cannot be read", role.as_str());
                tokio::time::sleep(RETRY.0).await;
                port.hint();
            }
        }
    }

    async fn commit(
        &mut self,
        pending: &mut Pending,
        number: u64,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Ended {
        pending.since = None;
        pending.lane = Lane::Soon;
        let changes = std::mem::take(&mut pending.changes);
        if !changes.is_empty() {
            let Fence { role, term } = self.fence;
            let id = BatchId(Digest::of(&[
                role.as_str().as_bytes(),
                &term.0.to_le_bytes(),
                &number.to_le_bytes(),
            ]));
            let batch = Batch {
                id,
                at: now,
                changes,
            };
            if self.commit_batch(&batch, stop).await == Ended::Fenced {
                return Ended::Fenced;
            }
            (self.committed)(&batch.changes);
            self.hand_over_needs(&batch.changes).await;
        }
        for (sender, reply) in pending.replies.drain(..) {
            // Who gave the command may have gone; its effect stands.
            drop(sender.send(reply));
        }
        Ended::Stopped
    }

    async fn commit_batch(&self, batch: &Batch, stop: &CancellationToken) -> Ended {
        let role = self.fence.role.as_str();
        let mut pause = RETRY.0;
        let mut failed = false;
        loop {
            let began = Instant::now();
            let answer = self.store.commit(batch, self.fence).await;
            self.metrics
                .store_commit
                .observe(began.elapsed().as_secs_f64());
            match answer {
                Ok(_) => {
                    if failed {
                        info!(role, "the store takes the {role}'s changes again");
                    }
                    return Ended::Stopped;
                }
                Err(CommitError::Fenced) => {
                    warn!(role, "the {role} is owned by somebody else now; stopping");
                    return Ended::Fenced;
                }
                Err(error) => {
                    if !failed {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        warn!(role, %error, ?cause, "the {role}'s changes wait for the store");
                    }
                    failed = true;
                    if stop.is_cancelled() && pause >= RETRY.1 {
                        warn!(role, "stopping with changes that the store did not take");
                        return Ended::Stopped;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn hand_over_needs(&self, changes: &[Change]) {
        let Some(sender) = &self.needs else { return };
        let needs: Vec<Need> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Need(need) => Some(need.clone()),
                _ => None,
            })
            .collect();
        if !needs.is_empty() && sender.send(needs).await.is_err() {
            warn!("nobody answers the judge's needs any more");
        }
    }
}

impl Pending {
    fn take(&mut self, buffer: &mut Changes, reply: Option<oneshot::Sender<Reply>>) {
        if !buffer.list.is_empty() {
            self.lane = self.lane.max(buffer.lane());
            self.since.get_or_insert_with(Instant::now);
            self.changes.append(&mut buffer.list);
        }
        let answer = buffer.reply.take();
        if let Some(sender) = reply {
            self.replies.push((sender, answer.unwrap_or(Reply::Done)));
            self.lane = Lane::Now;
        }
    }
}

async fn until(wake: Option<Timestamp>, clock: &Clock) {
    match wake {
        Some(at) => tokio::time::sleep(at.since(clock.now())).await,
        None => std::future::pending().await,
    }
}

async fn next<E>(feed: &mut Option<mpsc::Receiver<E>>) -> E {
    if let Some(receiver) = feed
        && let Some(event) = receiver.recv().await
    {
        return event;
    }
    std::future::pending().await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
