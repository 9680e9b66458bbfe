//! Who leads: the pure half of leader election over a Kubernetes Lease, after client-go's algorithm.
//!
//! Clocks of different machines are never compared. A candidate notes on its own monotonic clock when it
//! saw the lease change, and may take it only when it has seen no change for a whole duration; the holder
//! stops to lead a renew deadline after it *sent* its last successful renewal, which is sooner. Writes are
//! conditional on the version read, so of two that try at once one wins.
//!
//! ```text
//!  holder     sent──►│◄────── leads, at most the renew deadline ──────►│
//!  API server        written │
//!  candidate                 seen │◄──────── the whole duration ─────────────►│ may take it
//! ```
//!
//! Each taking raises `leaseTransitions`: that number is the term, the fence of all that the leader does.
//! The name of a holder must belong to one process only, so that a restart is a new term.

use std::time::Duration;

use crate::domain::rollback::Term;

/// A reading of this process's monotonic clock.
pub type Moment = Duration;

/// How long things take in an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Without a renewal for this long the lease may be taken.
    pub duration: Duration,
    /// The holder leads at most this long after it sent a renewal.
    pub renew_deadline: Duration,
    /// How often it is renewed, or tried for.
    pub retry: Duration,
    /// How long one call may take.
    pub call: Duration,
    /// An act is begun only if this much of the leadership is left: it must be over before it ends.
    pub margin: Duration,
}

/// The lease as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// For how long, as the holder says.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: u64,
    /// When the holder says it renewed it: looked at only for change.
    pub renewed_us: i64,
    /// The object's version.
    pub version: String,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Who is to hold it; empty: nobody.
    pub holder: String,
    /// For how long.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: u64,
    /// Whether it changes hands by this.
    pub taking: bool,
    /// The version it replaces; none: there must be no lease yet.
    pub over: Option<String>,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Done(Record),
    /// It is not written: somebody was faster, or the lease is gone.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// What happens to a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time it waited for has come.
    Wake,
    /// It has read the lease: none if there is no lease.
    Read(Option<Record>),
    /// It could not read it.
    ReadFailed,
    /// It has written.
    Wrote {
        /// When the write was sent.
        asked: Moment,
        /// What came of it.
        written: Written,
    },
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the lease.
    Read,
    /// Write it.
    Write(Proposal),
    /// Wait this long.
    Wait(Duration),
}

/// One process that would lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    times: LeaseTimes,
    known: Option<(Record, Moment)>,
    held: Option<Held>,
}

/// The lease as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// In which term.
    pub term: Term,
    /// Until when, unless renewed.
    pub until: Moment,
}

// === impl LeaseTimes ===

impl Default for LeaseTimes {
    /// The times of Kubernetes' own components: 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self::lasting(Duration::from_secs(15))
    }
}

impl LeaseTimes {
    /// All times in proportion to a duration, which is whole seconds (the object's unit) and at least one.
    #[must_use]
    pub fn lasting(duration: Duration) -> Self {
        let duration = Duration::from_secs(duration.as_secs().max(1));
        Self {
            duration,
            renew_deadline: duration * 2 / 3,
            retry: duration * 2 / 15,
            call: duration / 5,
            margin: duration / 5,
        }
    }
}

// === impl Candidate ===

impl Candidate {
    /// A candidate that knows nothing yet; the identity is this process's alone.
    #[must_use]
    pub const fn new(identity: String, times: LeaseTimes) -> Self {
        Self {
            identity,
            times,
            known: None,
            held: None,
        }
    }

    /// The lease, if it is held now.
    #[must_use]
    pub fn held(&self, now: Moment) -> Option<Held> {
        self.held.filter(|held| now < held.until)
    }

    /// Takes what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Moment) -> Action {
        self.held = self.held(now);
        match event {
            Event::Wake => match (&self.held, &self.known) {
                (Some(_), Some((record, _))) => Action::Write(self.renewal(record)),
                (Some(_) | None, _) => Action::Read,
            },
            Event::ReadFailed => Action::Wait(self.times.retry),
            Event::Read(None) => self.absent(now),
            Event::Read(Some(record)) => self.present(record, now),
            Event::Wrote {
                asked,
                written: Written::Done(record),
            } => {
                let term = Term(record.transitions);
                self.held = Some(Held {
                    term,
                    until: asked + self.times.renew_deadline,
                });
                self.known = Some((record, now));
                Action::Wait(self.times.retry)
            }
            // A renewal that was refused: perhaps an earlier one arrived after all. Look at once.
            Event::Wrote {
                written: Written::Refused,
                ..
            } if self.held.is_some() => Action::Read,
            Event::Wrote {
                written: Written::Refused,
                ..
            } => Action::Wait(self.times.retry),
            Event::Wrote {
                written: Written::Unknown,
                ..
            } => Action::Wait(self.times.retry / 2),
        }
    }

    /// What to write to give the lease up; none if it is not held. It is not held from here on.
    pub fn resign(&mut self, now: Moment) -> Option<Proposal> {
        self.held(now)?;
        self.held = None;
        let (record, _) = self.known.take()?;
        Some(Proposal {
            holder: String::new(),
            duration: Duration::from_secs(1),
            transitions: record.transitions,
            taking: false,
            over: Some(record.version),
        })
    }

    fn present(&mut self, record: Record, now: Moment) -> Action {
        let seen = match &self.known {
            Some((known, at)) if *known == record => *at,
            _ => now,
        };
        self.known = Some((record.clone(), seen));
        if record.holder == self.identity {
            return Action::Write(self.renewal(&record));
        }
        self.held = None;
        // The longer of both durations: replicas may be configured differently for a while.
        let free_at = seen + self.times.duration.max(record.duration);
        if !record.holder.is_empty() && now < free_at {
            return Action::Wait((free_at - now).min(self.times.retry));
        }
        Action::Write(self.taking(record.transitions + 1, Some(record.version)))
    }

    /// No lease: the first of all candidates makes it. One that knew a lease waits as if it were still
    /// there, for deleting a lease does not stop its holder.
    fn absent(&mut self, now: Moment) -> Action {
        self.held = None;
        let Some((record, seen)) = &self.known else {
            return Action::Write(self.taking(1, None));
        };
        let free_at = *seen + self.times.duration.max(record.duration);
        if now < free_at {
            return Action::Wait((free_at - now).min(self.times.retry));
        }
        Action::Write(self.taking(record.transitions + 1, None))
    }

    fn taking(&self, transitions: u64, over: Option<String>) -> Proposal {
        Proposal {
            holder: self.identity.clone(),
            duration: self.times.duration,
            transitions,
            taking: true,
            over,
        }
    }

    fn renewal(&self, record: &Record) -> Proposal {
        Proposal {
            holder: self.identity.clone(),
            duration: self.times.duration,
            transitions: record.transitions,
            taking: false,
            over: Some(record.version.clone()),
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
