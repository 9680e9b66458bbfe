//! What one look says, with when: the unit that is judged and remembered.

use std::sync::Arc;
use std::time::Duration;

use super::id::{Name, ProbeId};
use super::time::Span;
use super::value::Value;

/// Good, bad, or void: Holdfast could not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// The target failed.
    Bad,
    /// Nothing is known: counts for neither side.
    Void,
}

impl Outcome {
    /// The outcome's name in output and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Void => "void",
        }
    }
}

/// Which of Holdfast's eyes was shut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blind {
    /// A source of metrics failed.
    Source(Name),
    /// Holdfast's own network: self-checks failed in the same moment.
    Network,
    /// The resolver gave no answer.
    Resolver,
    /// Holdfast's own machine: file descriptors, a missing secret.
    Local,
    /// The source answered with nothing in it; no eye is shut, there is just nothing to see.
    Empty,
}

impl Blind {
    /// The probe name under which Holdfast's own alert speaks of this eye; none for `Empty`.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Source(name) => Some(name.clone()),
            Self::Network => Some(Name::literal("network")),
            Self::Resolver => Some(Name::literal("resolver")),
            Self::Local => Some(Name::literal("local")),
            Self::Empty => None,
        }
    }
}

/// Counts of good and bad events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Events that went well.
    pub good: u64,
    /// Events that went badly.
    pub bad: u64,
}

impl Tally {
    /// Good and bad together: void counts for neither side.
    #[must_use]
    pub const fn valid(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// Adds another tally.
    pub const fn add(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

/// A whole and its parts by pod, where pods can be told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split<T> {
    /// The whole.
    pub total: T,
    /// The parts by pod name, ordered; empty if pods can't be told apart.
    pub by_pod: Arc<[(Arc<str>, T)]>,
}

impl<T> Split<T> {
    /// A whole without parts.
    #[must_use]
    pub fn whole(total: T) -> Self {
        Self {
            total,
            by_pod: Arc::from([]),
        }
    }
}

/// What a sample says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// One look was answered, well or badly: one event.
    Look {
        /// Whether it was good.
        good: bool,
        /// How long it took; a look that timed out counts with its timeout.
        latency: Option<Duration>,
        /// The value, if the probe has one.
        value: Option<Value>,
        /// What was wrong, for people.
        why: Option<Arc<str>>,
    },
    /// Exact counts of events in the span.
    Counts(Split<Tally>),
    /// Could not look.
    Void(Blind),
}

/// One look, judged good, bad or void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Whose series it belongs to.
    pub series: ProbeId,
    /// What it covers.
    pub span: Span,
    /// What it says.
    pub reading: Reading,
}

impl Sample {
    /// The outcome of the look itself; counts are good if they could be read.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match &self.reading {
            Reading::Look { good: true, .. } | Reading::Counts(_) => Outcome::Good,
            Reading::Look { good: false, .. } => Outcome::Bad,
            Reading::Void(_) => Outcome::Void,
        }
    }
}
