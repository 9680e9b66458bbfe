//! The one place where a floating-point number may stand outside of statistics.

use std::cmp::Ordering;
use std::fmt;

/// A finite number with a total order; `-0` is `0`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Value(f64);

/// The number is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number is not finite")]
pub struct NotFinite;

// === impl Value ===

impl Value {
    /// Takes a finite number.
    ///
    /// # Errors
    /// If it is NaN or infinite: such a reading is void, never a value.
    pub fn try_new(number: f64) -> Result<Self, NotFinite> {
        if number.is_finite() {
            Ok(Self(number + 0.0))
        } else {
            Err(NotFinite)
        }
    }

    /// A whole number.
    #[must_use]
    pub fn whole(number: u64) -> Self {
        Self(number as f64)
    }

    /// Seconds of a duration.
    #[must_use]
    pub fn seconds(duration: std::time::Duration) -> Self {
        Self(duration.as_secs_f64())
    }

    /// `part / whole`, or nothing of nothing.
    #[must_use]
    pub fn ratio(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self(part as f64 / whole as f64))
    }

    /// Whether this value is at least `per_mille` as far beyond `limit` as `before` was, on the same side.
    #[must_use]
    pub fn as_far(self, limit: Self, before: Self, per_mille: u16) -> bool {
        let then = before.0 - limit.0;
        (self.0 - limit.0) * then.signum() >= then.abs() * f64::from(per_mille) / 1000.0
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Value {}
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
