//! The outbox: in which order due deliveries leave, when a failed one is tried again, and what is
//! cancelled because it was over before it left.
//!
//! Deliveries of one receiver and thread leave in order, one at a time: the next only after the one
//! before was taken, given up or cancelled. Different threads of a receiver may be in flight together,
//! up to a bound, and no receiver ever waits for another.
//!
//! An episode whose *firing* and *resolved* both still stand here untouched is cancelled whole. It is
//! untouched only if this very term inserted it and nothing of it was tried: a predecessor may have sent
//! a delivery and died before it could record the attempt, and then *resolved* is owed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::delivery::{Attempt, Delivery, DeliveryState, Reason, Status};
use super::id::{DeliveryId, Digest, Name};
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
}

/// One receiver's.
#[derive(Clone, Debug, Default)]
struct Lane {
    threads: BTreeMap<Digest, Thread>,
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
        }
    }

    /// Takes over what the store says is due. What is in flight stays so.
    pub fn load(&mut self, due: Vec<Delivery>) {
        for lane in self.lanes.values_mut() {
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
    }

    /// Takes out the episodes that were over before anything of them left, each as the list of its
    /// deliveries. Their threads are in flight until [`Self::settle`] is told that this is recorded.
    pub fn cancel(&mut self) -> Vec<Vec<Delivery>> {
        let term = self.term;
        let mut episodes = Vec::new();
        for lane in self.lanes.values_mut() {
            for thread in lane.threads.values_mut() {
                if let Some(last) = thread.stillborn(term) {
                    thread.in_flight = true;
                    let episode = thread.queue.range(..=last);
                    episodes.push(episode.map(|(_, delivery)| delivery.clone()).collect());
                }
            }
        }
        episodes
    }

    /// The deliveries to send now; their threads are in flight until [`Self::settle`] hears of them.
    /// Within a receiver those that are due longest go first.
    pub fn next(&mut self, now: Timestamp) -> Vec<Delivery> {
        let mut chosen = Vec::new();
        for lane in self.lanes.values_mut() {
            if lane.quiet_until.is_some_and(|until| until > now) {
                continue;
            }
            lane.quiet_until = None;
            let busy = lane.threads.values().filter(|thread| thread.in_flight);
            let free = IN_FLIGHT_MAX.saturating_sub(busy.count());
            if free == 0 {
                continue;
            }
            let mut ready: Vec<(Timestamp, u64, Digest)> = lane
                .threads
                .iter()
                .filter(|(_, thread)| !thread.in_flight)
                .filter_map(|(digest, thread)| {
                    let (order, head) = thread.queue.first_key_value()?;
                    (head.due <= now).then_some((head.due, *order, *digest))
                })
                .collect();
            ready.sort_unstable();
            for (_, order, digest) in ready.into_iter().take(free) {
                if let Some(thread) = lane.threads.get_mut(&digest) {
                    thread.in_flight = true;
                    chosen.extend(thread.queue.get(&order).cloned());
                }
            }
        }
        chosen
    }

    /// A delivery was tried or cancelled, and that is recorded. Deliveries of a thread that were
    /// cancelled together are settled one after the other.
    pub fn settle(&mut self, delivery: &Delivery, attempt: &Attempt) {
        let Some(lane) = self.lanes.get_mut(&delivery.receiver) else {
            return;
        };
        let Some(thread) = lane.threads.get_mut(&delivery.message.thread) else {
            return;
        };
        thread.in_flight = false;
        match attempt.state {
            DeliveryState::Due => {
                if let Some(known) = thread.queue.get_mut(&delivery.order) {
                    known.attempts = attempt.number;
                    known.due = attempt.due;
                }
            }
            DeliveryState::Delivered | DeliveryState::Cancelled | DeliveryState::GivenUp => {
                thread.queue.remove(&delivery.order);
            }
        }
        if thread.queue.is_empty() {
            lane.threads.remove(&delivery.message.thread);
        }
    }

    /// The receiver asked to be left alone (`Retry-After`): that holds for all of its threads.
    pub fn quiet(&mut self, receiver: &Name, until: Timestamp) {
        if let Some(lane) = self.lanes.get_mut(receiver) {
            lane.quiet_until = lane.quiet_until.max(Some(until));
        }
    }

    /// When something that is not in flight can be sent, at the earliest; of receivers that have a
    /// thread free only (the others wait for an answer, not for a time).
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lanes
            .values()
            .filter_map(|lane| {
                let busy = lane.threads.values().filter(|thread| thread.in_flight);
                if busy.count() >= IN_FLIGHT_MAX {
                    return None;
                }
                let heads = lane.threads.values().filter(|thread| !thread.in_flight);
                let due = heads.filter_map(|thread| thread.queue.values().next());
                let due = due.map(|head| head.due).min()?;
                Some(lane.quiet_until.map_or(due, |until| until.max(due)))
            })
            .min()
    }

    /// How many deliveries wait or are in flight.
    #[must_use]
    pub fn depth(&self) -> usize {
        let threads = self.lanes.values().flat_map(|lane| lane.threads.values());
        threads.map(|thread| thread.queue.len()).sum()
    }

    /// When the oldest of them was decided.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        let threads = self.lanes.values().flat_map(|lane| lane.threads.values());
        threads
            .flat_map(|thread| thread.queue.values())
            .map(|delivery| delivery.created)
            .min()
    }
}

// === impl Thread ===

impl Thread {
    /// The order of the *resolved* that ends an episode of which nothing can have left.
    fn stillborn(&self, term: Term) -> Option<u64> {
        let (_, head) = self.queue.first_key_value()?;
        let untouched = |delivery: &Delivery| delivery.attempts == 0 && delivery.term == term;
        let first = head.message.status == Status::Firing && head.message.reason == Reason::First;
        if self.in_flight || !first {
            return None;
        }
        let (last, _) = self
            .queue
            .iter()
            .take_while(|(_, delivery)| untouched(delivery))
            .find(|(_, delivery)| delivery.message.status == Status::Resolved)?;
        Some(*last)
    }
}

#[cfg(test)]
mod tests;
