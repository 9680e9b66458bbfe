//! Instants and spans.
//!
//! Pure code is handed the time, it never asks for it. An instant is whole microseconds since the Unix
//! epoch: exact, ordered, and the same in SQLite, in PostgreSQL and on the wire.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

/// Microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instant is written as RFC 3339, for instance 2026-01-05T09:00:00Z")]
pub struct TimestampError;

// === impl Timestamp ===

impl Timestamp {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, with the fraction; for metrics and PromQL.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Self(instant.as_microsecond()))
    }
}

/// What a sample covers: after `from`, up to and including `to`. A single look has `from == to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Exclusive.
    pub from: Timestamp,
    /// Inclusive.
    pub to: Timestamp,
}

impl Span {
    /// A single instant.
    #[must_use]
    pub const fn at(instant: Timestamp) -> Self {
        Self {
            from: instant,
            to: instant,
        }
    }
}

/// A duration as people type it: `1h30m`, `250ms`, `0s`; `Display` and `FromStr` round-trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spelled(pub Duration);

/// The text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is written like 500ms, 30s, 5m, 1h30m or 30d")]
pub struct SpelledError;

const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Spelled {
    type Err = SpelledError;
    fn from_str(text: &str) -> Result<Self, SpelledError> {
        let mut rest = text;
        let mut total = 0_u64;
        let mut last = u64::MAX;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or(SpelledError)?;
            let count: u64 = rest[..digits].parse().map_err(|_| SpelledError)?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (_, size) = UNITS
                .iter()
                .find(|(unit, _)| *unit == &rest[..letters])
                .ok_or(SpelledError)?;
            if *size >= last {
                return Err(SpelledError);
            }
            last = *size;
            total = count
                .checked_mul(*size)
                .and_then(|n| total.checked_add(n))
                .ok_or(SpelledError)?;
            rest = &rest[letters..];
        }
        if last == u64::MAX {
            Err(SpelledError)
        } else {
            Ok(Self(Duration::from_micros(total)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_round_trip_through_rfc_3339() {
        let instant = Timestamp::from_micros(1_767_603_600_250_000);
        assert_eq!(instant.to_string().parse::<Timestamp>().unwrap(), instant);
        assert_eq!(instant.to_string(), "2026-01-05T09:00:00.25Z");
    }

    #[test]
    fn durations_round_trip_as_people_type_them() {
        for text in ["500ms", "30s", "5m", "1h30m", "30d", "0s", "1m500ms"] {
            assert_eq!(text.parse::<Spelled>().unwrap().to_string(), text);
        }
        for text in ["", "5", "m", "5 m", "1m1h", "1x", "-1s"] {
            assert!(text.parse::<Spelled>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_never_runs_below_zero() {
        let early = Timestamp::from_secs(1);
        let late = Timestamp::from_secs(3);
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
