//! When to look at what: pure arithmetic, no clock, no sleep.
//!
//! Each probe has a phase in its interval, a hash of its id against the Unix epoch: thousands of probes
//! are spread evenly, and a restart or a reload moves none of them. A tick is computed from the epoch and
//! not from the tick before, so nothing drifts. A due look waits for a free slot, tenants in turn, each
//! probe at most once: while it waits or still looks, its further ticks are missed and counted, never
//! piled up.
//!
//! ```text
//!            tick(now)                next()               finished()
//!   heap ───────────────► waiting ───────────────► running ────────────► (idle)
//!   (due, id)   one queue a tenant    fair, limited
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use crate::domain::id::{ProbeId, TenantId};
use crate::domain::time::Timestamp;

/// A wall clock that is set back by more than this makes all ticks be computed anew; less is jitter of
/// its synchronisation.
const SET_BACK: Duration = Duration::from_secs(1);

/// How many looks may go on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// For one tenant.
    pub tenant: usize,
}

/// A look that is to begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which probe.
    pub id: ProbeId,
    /// When it was due.
    pub due: Timestamp,
}

/// The ticks of all probes, and the looks that wait or go on.
#[derive(Debug)]
pub struct Schedule {
    limits: Limits,
    entries: BTreeMap<ProbeId, Entry>,
    /// May hold ticks of probes that are gone or were moved; `Entry::next` says which one counts.
    heap: BinaryHeap<Reverse<(Timestamp, ProbeId)>>,
    tenants: BTreeMap<TenantId, Tenant>,
    /// Tenants whose first waiting look may begin, in turn.
    turns: VecDeque<TenantId>,
    running: usize,
    last: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    every: Duration,
    next: Timestamp,
    phase: Phase,
    /// Removed while its look goes on.
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Waiting,
    Running,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    waiting: VecDeque<Start>,
    in_turn: bool,
}

// === impl Schedule ===

impl Schedule {
    /// Nothing to look at.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            heap: BinaryHeap::new(),
            tenants: BTreeMap::new(),
            turns: VecDeque::new(),
            running: 0,
            last: Timestamp::default(),
        }
    }

    /// Takes the probes that are wanted from now on. Nothing that did not change is moved.
    pub fn replace(
        &mut self,
        wanted: impl IntoIterator<Item = (ProbeId, Duration)>,
        now: Timestamp,
    ) {
        let mut before = std::mem::take(&mut self.entries);
        for (id, every) in wanted {
            let entry = match before.remove(&id) {
                Some(entry) if entry.every == every && !entry.gone => entry,
                known => {
                    let next = first_tick(&id, every, now);
                    self.heap.push(Reverse((next, id.clone())));
                    Entry {
                        every,
                        next,
                        phase: known.map_or(Phase::Idle, |entry| entry.phase),
                        gone: false,
                    }
                }
            };
            self.entries.insert(id, entry);
        }
        for (id, entry) in before {
            if entry.phase == Phase::Running {
                self.entries.insert(
                    id,
                    Entry {
                        gone: true,
                        ..entry
                    },
                );
            }
        }
        self.tenants
            .retain(|_, tenant| tenant.running > 0 || !tenant.waiting.is_empty());
    }

    /// Makes everything wait that is due. Says how many ticks were missed.
    pub fn tick(&mut self, now: Timestamp) -> u64 {
        if now + SET_BACK < self.last {
            self.realign(now);
        }
        self.last = now;
        let mut missed = 0;
        while let Some(Reverse((due, _))) = self.heap.peek()
            && *due <= now
        {
            let Some(Reverse((due, id))) = self.heap.pop() else {
                break;
            };
            missed += self.take(due, id, now);
        }
        missed
    }

    fn take(&mut self, due: Timestamp, id: ProbeId, now: Timestamp) -> u64 {
        let Some(entry) = self.entries.get_mut(&id) else {
            return 0;
        };
        if entry.gone || entry.next != due {
            return 0;
        }
        let every = micros(entry.every);
        let skipped = (now.as_micros() - due.as_micros()) / every;
        let due = Timestamp::from_micros(due.as_micros() + skipped * every);
        entry.next = due + entry.every;
        self.heap.push(Reverse((entry.next, id.clone())));
        let skipped = u64::try_from(skipped).unwrap_or(0);
        if entry.phase != Phase::Idle {
            return skipped + 1;
        }
        entry.phase = Phase::Waiting;
        let tenant = self.tenants.entry(id.tenant.clone()).or_default();
        if !tenant.in_turn {
            tenant.in_turn = true;
            self.turns.push_back(id.tenant.clone());
        }
        tenant.waiting.push_back(Start { id, due });
        skipped
    }

    /// The next look that may begin, if one waits and a slot is free for its tenant.
    pub fn next_start(&mut self) -> Option<Start> {
        while self.running < self.limits.total {
            let name = self.turns.pop_front()?;
            let Some(tenant) = self.tenants.get_mut(&name) else {
                continue;
            };
            tenant.in_turn = false;
            if tenant.running >= self.limits.tenant {
                // Comes back into turn when one of its looks is finished.
                continue;
            }
            let Some(start) = tenant.waiting.pop_front() else {
                continue;
            };
            if !tenant.waiting.is_empty() {
                tenant.in_turn = true;
                self.turns.push_back(name);
            }
            match self.entries.get_mut(&start.id) {
                Some(entry) if entry.phase == Phase::Waiting && !entry.gone => {
                    entry.phase = Phase::Running;
                    tenant.running += 1;
                    self.running += 1;
                    return Some(start);
                }
                // Removed while it waited.
                _ => {}
            }
        }
        None
    }

    /// Takes the end of a look.
    pub fn finished(&mut self, id: &ProbeId) {
        if let Some(entry) = self.entries.get_mut(id) {
            if entry.gone {
                self.entries.remove(id);
            } else if entry.phase == Phase::Running {
                entry.phase = Phase::Idle;
            }
        }
        self.running = self.running.saturating_sub(1);
        if let Some(tenant) = self.tenants.get_mut(&id.tenant) {
            tenant.running = tenant.running.saturating_sub(1);
            if !tenant.in_turn && !tenant.waiting.is_empty() {
                tenant.in_turn = true;
                self.turns.push_back(id.tenant.clone());
            }
        }
    }

    /// When the next tick is.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Looks that go on.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running
    }

    fn realign(&mut self, now: Timestamp) {
        self.heap.clear();
        for (id, entry) in &mut self.entries {
            entry.next = first_tick(id, entry.every, now);
            if !entry.gone {
                self.heap.push(Reverse((entry.next, id.clone())));
            }
        }
    }
}

fn micros(every: Duration) -> i64 {
    i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1)
}

/// The first tick at or after `now`.
fn first_tick(id: &ProbeId, every: Duration, now: Timestamp) -> Timestamp {
    let every = micros(every);
    let hash = i64::try_from(hash(id) >> 1).unwrap_or(0);
    let wait = (hash % every - now.as_micros() % every).rem_euclid(every);
    Timestamp::from_micros(now.as_micros() + wait)
}

/// FNV-1a with MurmurHash3's finaliser: the same in every process and version, and ids that differ in
/// one digit are far apart.
fn hash(id: &ProbeId) -> u64 {
    let (tenant, probe) = (id.tenant.0.as_str(), id.probe.as_str());
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in tenant.bytes().chain([b'/']).chain(probe.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
#[path = "schedule/tests.rs"]
mod tests;
