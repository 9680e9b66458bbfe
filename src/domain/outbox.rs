//! The outbox: in which order due deliveries leave, when a failed one is tried again, and what is
//! cancelled because it was over before it left.
//!
//! Deliveries of one receiver and thread leave in order, one at a time: the next only after the one
//! before was taken, given up or cancelled. Different threads of a receiver may be in flight together,
//! up to a bound, and no receiver ever waits for another.
//!
//! An episode whose *firing* and *resolved* both still stand here untouched is cancelled whole. It is
//! untouched only if this very term inserted it and nothing of it was tried: a predecessor may have sent
//! a delivery and died before it could record the attempt, and then *resolved* is owed. What Holdfast says
//! of itself is never cancelled: that nobody watched for a while is news also when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::delivery::{Attempt, Delivery, DeliveryState, Reason, Status};
use super::id::{DeliveryId, Digest, Name, TenantId};
use super::rollback::Term;
use super::time::Timestamp;

/// Threads of one receiver that may be in flight together: enough that one slow answer does not hold
/// up a burst, few enough not to be a burden to the receiver.
pub const IN_FLIGHT_MAX: usize = 4;

/// When a delivery is tried again, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Pause after the first try; doubles with each further one.
    pub first: Duration,
    /// No pause of our own is longer.
    pub cap: Duration,
    /// The pause is spread by up to this many thousandths to either side.
    pub jitter_permille: u32,
    /// A longer `Retry-After` is cut to this.
    pub asked_cap: Duration,
    /// Given up after this long.
    pub give_up: Duration,
    /// But not before this many tries: a delivery may be old only because Holdfast itself was down.
    pub attempts_min: u32,
}

impl Default for RetrySchedule {
    /// 1 s, 2 s, 4 s, … 256 s, then every 5 min for a day; ten tries take at least 8 min.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(5 * 60),
            jitter_permille: 200,
            asked_cap: Duration::from_secs(60 * 60),
            give_up: Duration::from_secs(24 * 60 * 60),
            attempts_min: 10,
        }
    }
}

/// The deliveries that are due, in lanes.
#[derive(Clone, Debug)]
pub struct Outbox {
    term: Term,
    lanes: BTreeMap<Name, Lane>,
    /// All of them, the oldest first.
    ages: BTreeSet<(Timestamp, DeliveryId)>,
}

/// One receiver's.
#[derive(Clone, Debug, Default)]
struct Lane {
    threads: BTreeMap<Digest, Thread>,
    /// The heads that are not in flight: when due, their order, and their thread.
    waiting: BTreeSet<(Timestamp, u64, Digest)>,
    in_flight: usize,
    /// The receiver asked to be left alone until then.
    quiet_until: Option<Timestamp>,
}

/// One receiver's deliveries about one thing, by order.
#[derive(Clone, Debug, Default)]
struct Thread {
    queue: BTreeMap<u64, Delivery>,
    in_flight: bool,
}

// === impl RetrySchedule ===

impl RetrySchedule {
    /// The pause after the `attempt`-th try (1 for the first). The spread comes from the delivery's id, so
    /// that deliveries that failed together do not come back together, and the same one always alike.
    #[must_use]
    pub fn pause(&self, delivery: DeliveryId, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let plain = self.first.saturating_mul(doubled).min(self.cap);
        let chance = Digest::of(&[delivery.0.0.as_slice(), &attempt.to_le_bytes()]).0;
        let chance = u32::from(u16::from_le_bytes([chance[0], chance[1]]));
        let permille = 1000 - self.jitter_permille + chance % (2 * self.jitter_permille + 1);
        let own = plain.saturating_mul(permille) / 1000;
        own.max(asked.unwrap_or_default().min(self.asked_cap))
    }

    /// Whether to stop trying after the `attempt`-th try.
    #[must_use]
    pub fn exhausted(&self, created: Timestamp, attempt: u32, now: Timestamp) -> bool {
        attempt >= self.attempts_min && now.since(created) >= self.give_up
    }
}

// === impl Outbox ===

impl Outbox {
    /// An empty outbox of this term.
    #[must_use]
    pub const fn new(term: Term) -> Self {
        Self {
            term,
            lanes: BTreeMap::new(),
            ages: BTreeSet::new(),
        }
    }

    /// Takes over what the store says is due. What is in flight stays so. Answers the episodes that
    /// were over before anything of them left, each as the list of its deliveries: they are to be
    /// cancelled, and their threads are in flight until [`Self::settle`] is told that this is recorded.
    pub fn load(&mut self, due: Vec<Delivery>) -> Vec<Vec<Delivery>> {
        self.ages = due.iter().map(|each| (each.created, each.id)).collect();
        for lane in self.lanes.values_mut() {
            lane.waiting.clear();
            lane.threads.retain(|_, thread| thread.in_flight);
            for thread in lane.threads.values_mut() {
                thread.queue.clear();
            }
        }
        for delivery in due {
            let lane = self.lanes.entry(delivery.receiver.clone()).or_default();
            let thread = lane.threads.entry(delivery.message.thread).or_default();
            thread.queue.insert(delivery.order, delivery);
        }
        self.lanes
            .retain(|_, lane| !lane.threads.is_empty() || lane.quiet_until.is_some());
        let term = self.term;
        let lanes = self.lanes.values_mut();
        lanes.flat_map(|lane| lane.sort(term)).collect()
    }

    /// The deliveries to send now; their threads are in flight until [`Self::settle`] hears of them.
    /// Within a receiver those that are due longest go first.
    pub fn next(&mut self, now: Timestamp) -> Vec<Delivery> {
        let mut chosen = Vec::new();
        for lane in self.lanes.values_mut() {
            while let Some((due, order, digest)) = lane.ready()
                && due <= now
            {
                lane.change(digest, |thread| {
                    thread.in_flight = true;
                    chosen.extend(thread.queue.get(&order).cloned());
                });
            }
        }
        chosen
    }

    /// A delivery was tried or cancelled, and that is recorded. Deliveries of a thread that were
    /// cancelled together are settled one after the other.
    pub fn settle(&mut self, delivery: &Delivery, attempt: &Attempt) {
        let over = attempt.state != DeliveryState::Due;
        if over {
            self.ages.remove(&(delivery.created, delivery.id));
        }
        let Some(lane) = self.lanes.get_mut(&delivery.receiver) else {
            return;
        };
        lane.change(delivery.message.thread, |thread| {
            thread.in_flight = false;
            if over {
                thread.queue.remove(&delivery.order);
            } else if let Some(known) = thread.queue.get_mut(&delivery.order) {
                known.attempts = attempt.number;
                known.due = attempt.due;
            }
        });
    }

    /// The receiver asked to be left alone (`Retry-After`): that holds for all of its threads.
    pub fn quiet(&mut self, receiver: &Name, until: Timestamp) {
        let lane = self.lanes.entry(receiver.clone()).or_default();
        lane.quiet_until = lane.quiet_until.max(Some(until));
    }

    /// When something that is not in flight can be sent, at the earliest; of receivers that have a
    /// thread free only (the others wait for an answer, not for a time).
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let heads = self.lanes.values().filter_map(Lane::ready);
        heads.map(|(due, ..)| due).min()
    }

    /// How many deliveries wait or are in flight.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ages.len()
    }

    /// When the oldest of them was decided.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.ages.first().map(|(created, _)| *created)
    }
}

// === impl Lane ===

impl Lane {
    /// Counts and sorts the threads anew, and takes out the episodes that are to be cancelled.
    fn sort(&mut self, term: Term) -> Vec<Vec<Delivery>> {
        let mut episodes = Vec::new();
        for (digest, thread) in &mut self.threads {
            if let Some(episode) = thread.stillborn(term) {
                thread.in_flight = true;
                episodes.push(episode);
            }
            self.waiting.extend(thread.place(*digest));
        }
        let flying = self.threads.values().filter(|thread| thread.in_flight);
        self.in_flight = flying.count();
        episodes
    }

    /// The head to go next and when it may, if a thread is free.
    fn ready(&self) -> Option<(Timestamp, u64, Digest)> {
        if self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let (due, order, digest) = *self.waiting.first()?;
        let due = self.quiet_until.map_or(due, |until| until.max(due));
        Some((due, order, digest))
    }

    /// Changes a thread, and its place with it.
    fn change(&mut self, digest: Digest, change: impl FnOnce(&mut Thread)) {
        let Some(thread) = self.threads.get_mut(&digest) else {
            return;
        };
        if let Some(place) = thread.place(digest) {
            self.waiting.remove(&place);
        }
        self.in_flight -= usize::from(thread.in_flight);
        change(thread);
        self.in_flight += usize::from(thread.in_flight);
        self.waiting.extend(thread.place(digest));
        if thread.queue.is_empty() && !thread.in_flight {
            self.threads.remove(&digest);
        }
    }
}

// === impl Thread ===

impl Thread {
    /// Where the thread stands among those that wait; nowhere if it is in flight.
    fn place(&self, digest: Digest) -> Option<(Timestamp, u64, Digest)> {
        let (order, head) = self.queue.first_key_value()?;
        (!self.in_flight).then_some((head.due, *order, digest))
    }

    /// The episode of which nothing can have left, from its first telling to its *resolved*.
    fn stillborn(&self, term: Term) -> Option<Vec<Delivery>> {
        let (_, head) = self.queue.first_key_value()?;
        let untouched = |delivery: &Delivery| delivery.attempts == 0 && delivery.term == term;
        let first = head.message.status == Status::Firing && head.message.reason == Reason::First;
        let tenant = head.message.labels.get("tenant");
        let own = tenant.is_some_and(|tenant| tenant == TenantId::own().0.as_str());
        if self.in_flight || !first || own {
            return None;
        }
        let (last, _) = self
            .queue
            .iter()
            .take_while(|(_, delivery)| untouched(delivery))
            .find(|(_, delivery)| delivery.message.status == Status::Resolved)?;
        Some(
            self.queue
                .range(..=last)
                .map(|(_, each)| each.clone())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
