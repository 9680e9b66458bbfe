//! How long something took. The one place here that reads a clock.

use std::fmt;
use std::time::Duration;

#[expect(
    clippy::disallowed_types,
    reason = "a person waits for a process here; no runtime, nothing to pause"
)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_types, reason = "as above")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub fn elapsed(&self) -> Elapsed {
        Elapsed(self.0.elapsed())
    }
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 05 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 10 {
            write!(formatter, "{:.1} s", self.0.as_secs_f64())
        } else if seconds < 60 {
            write!(formatter, "{seconds} s")
        } else {
            write!(formatter, "{} min {:02} s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let said = |milliseconds| Elapsed(Duration::from_millis(milliseconds)).to_string();
        assert_eq!(said(440), "0.4 s");
        assert_eq!(said(12_900), "12 s");
        assert_eq!(said(185_000), "3 min 05 s");
    }
}
