//! What the machines take.

use std::sync::Arc;

use super::change::{Changes, Post};
use super::command::Command;
use super::id::RollbackId;
use super::need::History;
use super::rollback::{Happening, Term};
use super::rollout::Sighting;
use super::sample::Sample;
use super::spec::Spec;
use super::time::Timestamp;

/// A pure machine. It judges by the ordered input alone: `now` never runs backwards (the driver sees to
/// it), and the same events at the same times give the same changes, in the daemon and in a replay.
pub trait Machine {
    /// What it takes.
    type Event;

    /// Takes one event and writes what follows into the caller's buffer.
    fn step(&mut self, event: &Self::Event, now: Timestamp, out: &mut Changes);

    /// Does what is due by `now` without an event. A second call at the same time does nothing.
    fn wake(&mut self, now: Timestamp, out: &mut Changes);

    /// When it wants to be woken, if nothing happens before.
    fn wake_at(&self) -> Option<Timestamp>;
}

/// What the judge takes.
#[derive(Clone, Debug)]
pub enum JudgeEvent {
    /// A look, judged good, bad or void.
    Sample(Sample),
    /// A workload, or its pods, were seen.
    Sighting(Sighting),
    /// The configuration in force from now on.
    Spec(Arc<Spec>),
    /// The answer to a need.
    History(History),
    /// The steward's facts and trials.
    Post(Box<Post>),
    /// A person's word on an alert.
    Command(Command),
}

/// What the teller takes.
#[derive(Clone, Debug)]
pub enum TellerEvent {
    /// A committed transition or notice.
    Post(Box<Post>),
    /// The configuration in force from now on.
    Spec(Arc<Spec>),
}

/// What the steward takes.
#[derive(Clone, Debug)]
pub enum StewardEvent {
    /// Committed petitions, facts and ends of trials.
    Post(Box<Post>),
    /// A workload was seen.
    Sighting(Sighting),
    /// The configuration in force from now on.
    Spec(Arc<Spec>),
    /// A person's word.
    Command(Command),
    /// Something happened to a rollback.
    Happening(RollbackId, Happening),
    /// This process leads from now on, in this term.
    Leads(Term),
    /// What the platform can do.
    Platform(Access),
}

/// Whether there is a cluster to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// There is one.
    Open,
    /// None is configured or found.
    None,
    /// There is one, but it does not let us change workloads.
    Forbidden,
}
