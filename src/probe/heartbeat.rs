//! Probe kind `heartbeat`: somebody else calls; a look sees how long ago.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::Look;
use crate::domain::id::ProbeId;
use crate::domain::observation::{Fault, Finding, Observation, Stage};
use crate::domain::target::HeartbeatTarget;
use crate::domain::time::{Span, Timestamp};
use crate::domain::value::Value;

/// No beat has come yet.
const NEVER: i64 = i64::MIN;

/// When the last beat came. Not remembered over a restart: until one beat has come, or the longest
/// silence has passed since Holdfast began to listen, nothing is known.
#[derive(Debug)]
pub struct Heart {
    listening_since: Timestamp,
    last: AtomicI64,
}

// === impl Heart ===

impl Heart {
    /// Begins to listen.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            listening_since: now,
            last: AtomicI64::new(NEVER),
        }
    }

    /// Takes a beat. Beats that overtake each other leave the latest.
    pub fn beat(&self, now: Timestamp) {
        self.last.fetch_max(now.as_micros(), Ordering::SeqCst);
    }

    /// When the last beat came.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::SeqCst);
        (last != NEVER).then(|| Timestamp::from_micros(last))
    }

    /// Good with the age as the value; overdue; or nothing known yet.
    fn check(&self, max_age: Duration, now: Timestamp) -> Result<Finding, Fault> {
        let last = self.last();
        let age = now.since(last.unwrap_or(self.listening_since));
        match last {
            Some(_) if age <= max_age => Ok(Finding::Look {
                latency: Duration::ZERO,
                value: Some(Value::seconds(age)),
            }),
            None if age <= max_age => Err(Fault::Empty),
            Some(_) | None => Err(Fault::Overdue),
        }
    }
}

/// Looks at the heart.
pub(super) struct HeartbeatLook {
    id: ProbeId,
    max_age: Duration,
    heart: Arc<Heart>,
}

// === impl HeartbeatLook ===

impl HeartbeatLook {
    pub(super) fn new(id: &ProbeId, target: &HeartbeatTarget, heart: Arc<Heart>) -> Self {
        Self {
            id: id.clone(),
            max_age: target.max_age,
            heart,
        }
    }
}

#[async_trait]
impl Look for HeartbeatLook {
    async fn look(&self, now: Timestamp) -> Observation {
        Observation {
            probe: self.id.clone(),
            span: Span::at(now),
            ended: now,
            reached: Stage::Expect,
            stages: Vec::new(),
            result: self.heart.check(self.max_age, now),
            took: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_767_603_600);
    const MAX_AGE: Duration = Duration::from_secs(60);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn before_the_first_beat_nothing_is_known_until_it_is_overdue() {
        let heart = Heart::new(START);
        assert_eq!(heart.check(MAX_AGE, after(60)), Err(Fault::Empty));
        assert_eq!(heart.check(MAX_AGE, after(61)), Err(Fault::Overdue));
    }

    #[test]
    fn a_beat_is_good_for_its_longest_silence() {
        let heart = Heart::new(START);
        heart.beat(after(100));
        let Ok(Finding::Look { value, .. }) = heart.check(MAX_AGE, after(130)) else {
            panic!("the beat is 30 s old");
        };
        assert_eq!(value, Some(Value::whole(30)));
        assert!(heart.check(MAX_AGE, after(160)).is_ok());
        assert_eq!(heart.check(MAX_AGE, after(161)), Err(Fault::Overdue));
        heart.beat(after(170));
        assert!(heart.check(MAX_AGE, after(170)).is_ok());
    }

    #[test]
    fn a_late_beat_does_not_hide_a_later_one() {
        let heart = Heart::new(START);
        heart.beat(after(100));
        heart.beat(after(90));
        assert_eq!(heart.last(), Some(after(100)));
    }
}
