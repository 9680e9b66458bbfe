//! What came back from a look, before anybody calls it good or bad.
//!
//! A prober reports how far it got and what stopped it. Whether that speaks about the target or about
//! Holdfast's own eyes is for [`sight`](super::sight) to say: "the target failed" and "I could not look"
//! are different values from the first byte to the last.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::id::{Name, ProbeId};
use super::sample::{Split, Tally};
use super::time::{Span, Timestamp};
use super::value::Value;

/// How far a look got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Finding the address.
    Resolve,
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Sending the request and waiting for the first byte of the answer.
    FirstByte,
    /// Reading the answer.
    Body,
    /// Holding the answer against the expectation.
    Expect,
}

impl Stage {
    /// The stage's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first-byte",
            Self::Body => "body",
            Self::Expect => "expect",
        }
    }
}

/// What stopped a look. Texts are for people and never contain a secret, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The resolver answered that the name does not exist: an answer, so it is bad.
    NameUnknown,
    /// The resolver did not answer, or answered SERVFAIL: nobody could look.
    ResolverSilent(Arc<str>),
    /// The connection was refused.
    Refused,
    /// The connection was reset or closed.
    Reset,
    /// The deadline passed.
    TimedOut,
    /// No route to the host or network.
    Unreachable,
    /// The handshake failed: certificate, protocol version.
    Tls(Arc<str>),
    /// The answer is no valid answer of the protocol.
    Protocol(Arc<str>),
    /// The answer is larger than the limit, in bytes.
    TooLarge(u64),
    /// The target answered, but not what was expected: `status 500, expected 2xx`.
    Unexpected(Arc<str>),
    /// The source of metrics failed or said nonsense; says nothing about the tenant.
    Source {
        /// Which source, as configured.
        source: Name,
        /// What happened.
        why: Arc<str>,
    },
    /// The source answered, with nothing in it (an empty result, NaN, a stale series).
    Empty,
    /// Holdfast's own fault: no file descriptors, a missing secret file.
    Local(Arc<str>),
    /// A heartbeat did not come in time.
    Overdue,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameUnknown => f.write_str("the name does not exist"),
            Self::ResolverSilent(why) => write!(f, "the resolver gave no answer: {why}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("no route to the target"),
            Self::Tls(why) => write!(f, "TLS handshake failed: {why}"),
            Self::Protocol(why) => write!(f, "not a valid answer: {why}"),
            Self::TooLarge(limit) => write!(f, "the answer is larger than {limit} bytes"),
            Self::Unexpected(what) => f.write_str(what),
            Self::Source { source, why } => write!(f, "source {source} failed: {why}"),
            Self::Empty => f.write_str("the source has nothing to say"),
            Self::Local(why) => write!(f, "Holdfast could not look: {why}"),
            Self::Overdue => f.write_str("no heartbeat in time"),
        }
    }
}

/// How long each stage took, in order, as far as the look got.
pub type Stages = Vec<(Stage, Duration)>;

/// What a look brought back when it was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// One look at a target: how long it took, and the value if one was asked for.
    Look {
        /// From the first stage to the last byte.
        latency: Duration,
        /// The probe's value.
        value: Option<Value>,
    },
    /// Counts of events since the last look.
    Counts(Split<Tally>),
}

/// One look of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which probe looked.
    pub probe: ProbeId,
    /// What the look covers: an instant (its begin), or the span since the last look at counters.
    pub span: Span,
    /// When the look ended.
    pub ended: Timestamp,
    /// How far it got.
    pub reached: Stage,
    /// The stages with their times, for `holdfast probe` and the phase metrics.
    pub stages: Stages,
    /// What was found, or what stopped it. A fault at [`Stage::Expect`] may come with a latency.
    pub result: Result<Finding, Fault>,
    /// How long the whole look took.
    pub took: Duration,
}
