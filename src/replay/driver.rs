//! Drives judge, teller and steward on a simulated clock: no store, no network, no waiting.
//!
//! What the daemon's drivers do with channels and commits is done here in memory, in the same order:
//! step, "commit" (append to the journal), deliver what was posted to whom it was posted to, wake who is
//! due. Needs are answered with the samples that were kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::change::{Change, Changes, Post, Reply, Role, Seq};
use crate::domain::event::{JudgeEvent, Machine, StewardEvent, TellerEvent};
use crate::domain::judge::Judge;
use crate::domain::need::{History, Need};
use crate::domain::rollout::Sighting;
use crate::domain::sample::Sample;
use crate::domain::spec::Spec;
use crate::domain::steward::Steward;
use crate::domain::teller::Teller;
use crate::domain::time::Timestamp;

/// The three machines and what they have said so far.
#[derive(Debug)]
pub struct Replay {
    now: Timestamp,
    judge: Judge,
    teller: Teller,
    steward: Steward,
    journal: Vec<Change>,
    posts: VecDeque<(Role, Post)>,
    seq: u64,
}

// === impl Replay ===

impl Replay {
    /// Begins at an instant, with machines that were made or restored elsewhere.
    #[must_use]
    pub const fn new(now: Timestamp, judge: Judge, teller: Teller, steward: Steward) -> Self {
        Self {
            now,
            judge,
            teller,
            steward,
            journal: Vec::new(),
            posts: VecDeque::new(),
            seq: 0,
        }
    }

    /// The simulated time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The judge, to ask.
    #[must_use]
    pub const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Everything that was committed, in order.
    #[must_use]
    pub fn journal(&self) -> &[Change] {
        &self.journal
    }

    /// Puts a configuration in force.
    pub fn configure(&mut self, spec: &Arc<Spec>) {
        self.judge_takes(&JudgeEvent::Spec(spec.clone()));
        self.teller_takes(&TellerEvent::Spec(spec.clone()));
        self.steward_takes(&StewardEvent::Spec(spec.clone()));
        self.settle();
    }

    /// A look has ended now.
    pub fn sample(&mut self, sample: Sample) {
        self.judge_takes(&JudgeEvent::Sample(sample));
        self.settle();
    }

    /// A workload was seen now.
    pub fn sighting(&mut self, sighting: Sighting) {
        self.steward_takes(&StewardEvent::Sighting(sighting.clone()));
        self.judge_takes(&JudgeEvent::Sighting(sighting));
        self.settle();
    }

    /// Something happens to the steward (a command, a happening, the platform).
    pub fn steward(&mut self, event: &StewardEvent) -> Option<Reply> {
        let reply = self.steward_takes(event);
        self.settle();
        reply
    }

    /// Lets time pass; what is due on the way is done at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(due) = self.due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.wake();
            self.settle();
        }
        self.now = until;
    }

    fn wake(&mut self) {
        let mut out = Changes::default();
        self.judge.wake(self.now, &mut out);
        self.teller.wake(self.now, &mut out);
        self.steward.wake(self.now, &mut out);
        self.commit(out);
    }

    fn due(&self) -> Option<Timestamp> {
        [
            self.judge.wake_at(),
            self.teller.wake_at(),
            self.steward.wake_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn judge_takes(&mut self, event: &JudgeEvent) -> Option<Reply> {
        let mut out = Changes::default();
        self.judge.step(event, self.now, &mut out);
        self.commit(out)
    }

    fn teller_takes(&mut self, event: &TellerEvent) -> Option<Reply> {
        let mut out = Changes::default();
        self.teller.step(event, self.now, &mut out);
        self.commit(out)
    }

    fn steward_takes(&mut self, event: &StewardEvent) -> Option<Reply> {
        let mut out = Changes::default();
        self.steward.step(event, self.now, &mut out);
        self.commit(out)
    }

    fn commit(&mut self, out: Changes) -> Option<Reply> {
        let mut needs = Vec::new();
        for change in out.list {
            for role in change.audience() {
                self.seq += 1;
                let post = Post {
                    seq: Seq(self.seq),
                    at: self.now,
                    change: change.clone(),
                };
                self.posts.push_back((*role, post));
            }
            if let Change::Need(need) = &change {
                needs.push(need.clone());
            }
            self.journal.push(change);
        }
        for need in needs {
            let history = self.history(&need);
            self.judge_takes(&JudgeEvent::History(history));
        }
        out.reply
    }

    /// Until every inbox is read; what is due by then without waiting is done as well.
    fn settle(&mut self) {
        loop {
            while let Some((role, post)) = self.posts.pop_front() {
                match role {
                    Role::Judge => self.judge_takes(&JudgeEvent::Post(Box::new(post))),
                    Role::Teller => self.teller_takes(&TellerEvent::Post(Box::new(post))),
                    Role::Steward => self.steward_takes(&StewardEvent::Post(Box::new(post))),
                };
            }
            if self.due().is_none_or(|due| due > self.now) {
                return;
            }
            self.wake();
        }
    }

    fn history(&self, need: &Need) -> History {
        let kept = self.journal.iter().filter_map(|change| match change {
            Change::Keep(sample)
                if sample.series == need.series
                    && sample.span.to <= need.until
                    && sample.span.to > need.until - need.span =>
            {
                Some(sample.clone())
            }
            _ => None,
        });
        History {
            series: need.series.clone(),
            image: None,
            samples: kept.collect(),
        }
    }
}
