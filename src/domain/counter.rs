//! Increases of counters since the last look: exact counts of events, so windows never overlap.
//!
//! `rate()` over a range extrapolates, loses the first value of a series and counts the same event in
//! every range that covers it. Here each series is held against what it was at the look before: what
//! was added is counted once. The rules:
//!
//! - the first look of the process is a baseline and counts nothing, whatever it sees;
//! - a series that appears later began at 0, so its whole value counts: the first 500 of a new release
//!   is an event, not a baseline;
//! - a value below the one before is a restart: the new value counts;
//! - a series that is away is remembered for [`FORGET_AFTER_LOOKS`] looks, so that a target that could
//!   not be scraped for a while goes on where it was.
//!
//! Values are rounded to whole events *before* they are subtracted: what is lost to rounding at one
//! look comes back at the next. A look that failed is not shown to this code at all, so the look after
//! it carries the events of the gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sample::{Split, Tally};
use super::value::Value;

/// Looks that a series may be away before it is forgotten: an hour at 15 s. A pod that comes back later
/// under the same name is counted as new; pods that are gone for good do not fill the memory.
pub const FORGET_AFTER_LOOKS: u32 = 240;

/// One series at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// All labels in order: the identity of the series.
    pub series: Arc<str>,
    /// The pod, where the label is there.
    pub pod: Option<Arc<str>>,
    /// The counter. Negative ones are no counters and are passed over.
    pub value: Value,
}

/// What the second selector counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bad events.
    Bad,
    /// Good events; the rest of the total is bad.
    Good,
}

/// Two selectors of counters, all events and a part of them, as they were at the last look.
#[derive(Clone, Debug)]
pub struct Counters {
    part: Part,
    all: Side,
    some: Side,
    looked: bool,
    /// Events of the part that the total did not know yet: one scrape came between the two queries.
    early: Increases,
}

/// Events by pod; `None` holds those that belong to no pod.
type Increases = BTreeMap<Option<Arc<str>>, u64>;

#[derive(Clone, Debug, Default)]
struct Side {
    series: BTreeMap<Arc<str>, Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    count: u64,
    away: u32,
}

// === impl Counters ===

impl Counters {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(part: Part) -> Self {
        Self {
            part,
            all: Side::default(),
            some: Side::default(),
            looked: false,
            early: Increases::new(),
        }
    }

    /// Takes what both selectors gave at one look and counts what was added since the one before.
    ///
    /// The part is never more than the total. Where it would be, because a scrape arrived between the
    /// two queries, the surplus waits for the next look, which sees the same scrape in the total; what
    /// fits nowhere even then was no part of the total and is dropped.
    pub fn look(&mut self, total: &[Point], part: &[Point]) -> Split<Tally> {
        let mut all = self.all.take(total, !self.looked);
        let mut some = self.some.take(part, !self.looked);
        self.looked = true;
        let mut early = std::mem::take(&mut self.early);
        if some.contains_key(&None) && !all.contains_key(&None) {
            // The part does not know the pods: nobody can tell whose events these are.
            (all, some, early) = (merged(&all), merged(&some), merged(&early));
        }
        for pod in early.keys().chain(some.keys()) {
            all.entry(pod.clone()).or_default();
        }
        let mut whole = Tally::default();
        let mut by_pod = Vec::new();
        for (pod, count) in all {
            let fresh = some.get(&pod).copied().unwrap_or(0);
            let known = fresh.saturating_add(early.get(&pod).copied().unwrap_or(0));
            let taken = known.min(count);
            let surplus = (known - taken).min(fresh);
            if surplus > 0 {
                self.early.insert(pod.clone(), surplus);
            }
            let tally = match self.part {
                Part::Bad => Tally {
                    good: count - taken,
                    bad: taken,
                },
                Part::Good => Tally {
                    good: taken,
                    bad: count - taken,
                },
            };
            whole.add(tally);
            if let Some(pod) = pod
                && tally.valid() > 0
            {
                by_pod.push((pod, tally));
            }
        }
        Split {
            total: whole,
            by_pod: by_pod.into(),
        }
    }

    /// How many series are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.all.series.len() + self.some.series.len()
    }
}

fn merged(increases: &Increases) -> Increases {
    if increases.is_empty() {
        return Increases::new();
    }
    let sum = increases
        .values()
        .fold(0_u64, |sum, n| sum.saturating_add(*n));
    Increases::from([(None, sum)])
}

// === impl Side ===

impl Side {
    fn take(&mut self, points: &[Point], baseline: bool) -> Increases {
        for last in self.series.values_mut() {
            last.away += 1;
        }
        let mut increases = Increases::new();
        for point in points {
            let Some(count) = whole(point.value) else {
                continue;
            };
            let before = self
                .series
                .insert(point.series.clone(), Last { count, away: 0 });
            let added = match before {
                None if baseline => 0,
                None => count,
                Some(last) if count < last.count => count,
                Some(last) => count - last.count,
            };
            let sum = increases.entry(point.pod.clone()).or_default();
            *sum = sum.saturating_add(added);
        }
        self.series
            .retain(|_, last| last.away <= FORGET_AFTER_LOOKS);
        increases
    }
}

/// The nearest whole number; none for a negative value. Beyond 2^64 it stays there.
fn whole(value: Value) -> Option<u64> {
    let number = value.get();
    (number >= 0.0).then(|| number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(series: &str, pod: &str, value: f64) -> Point {
        Point {
            series: format!("{series}{{pod={pod}}}").into(),
            pod: (!pod.is_empty()).then(|| pod.into()),
            value: Value::try_new(value).unwrap(),
        }
    }

    fn tally(good: u64, bad: u64) -> Tally {
        Tally { good, bad }
    }

    #[test]
    fn the_first_look_is_a_baseline_and_the_next_counts_what_was_added() {
        let mut counters = Counters::new(Part::Bad);
        let first = counters.look(&[point("r", "a", 1000.0)], &[point("e", "a", 10.0)]);
        assert_eq!(first.total, tally(0, 0));
        let second = counters.look(&[point("r", "a", 1100.0)], &[point("e", "a", 13.0)]);
        assert_eq!(second.total, tally(97, 3));
        assert_eq!(second.by_pod.as_ref(), [("a".into(), tally(97, 3))]);
    }

    #[test]
    fn a_series_that_appears_later_counts_from_zero() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 5.0)], &[]);
        let split = counters.look(
            &[point("r", "a", 5.0), point("r", "b", 20.0)],
            &[point("e", "b", 4.0)],
        );
        assert_eq!(split.total, tally(16, 4));
        assert_eq!(split.by_pod.as_ref(), [("b".into(), tally(16, 4))]);
    }

    #[test]
    fn a_smaller_value_is_a_restart_and_counts_whole() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 500.0)], &[point("e", "a", 50.0)]);
        let split = counters.look(&[point("r", "a", 7.0)], &[point("e", "a", 2.0)]);
        assert_eq!(split.total, tally(5, 2));
    }

    #[test]
    fn good_events_leave_the_rest_of_the_total_bad() {
        let mut counters = Counters::new(Part::Good);
        counters.look(&[point("r", "", 0.0)], &[point("ok", "", 0.0)]);
        let split = counters.look(&[point("r", "", 10.0)], &[point("ok", "", 9.0)]);
        assert_eq!(split, Split::whole(tally(9, 1)));
    }

    #[test]
    fn a_scrape_between_the_two_queries_is_counted_at_the_next_look() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 100.0)], &[point("e", "a", 0.0)]);
        let torn = counters.look(&[point("r", "a", 100.0)], &[point("e", "a", 20.0)]);
        assert_eq!(torn.total, tally(0, 0), "bad is never more than total");
        let whole = counters.look(&[point("r", "a", 200.0)], &[point("e", "a", 20.0)]);
        assert_eq!(whole.total, tally(80, 20));
    }

    #[test]
    fn a_part_that_is_no_part_of_the_total_does_not_pile_up() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 0.0)], &[point("e", "a", 0.0)]);
        for n in 1..100_u32 {
            let split = counters.look(
                &[point("r", "a", f64::from(n))],
                &[point("e", "a", f64::from(n * 50))],
            );
            assert_eq!(split.total, tally(0, 1));
        }
        let mut owed = 0;
        for n in 100..110_u32 {
            let split = counters.look(
                &[point("r", "a", f64::from(n * 1000))],
                &[point("e", "a", 99.0 * 50.0)],
            );
            owed += split.total.bad;
        }
        assert!(owed <= 50, "at most one look's surplus came late: {owed}");
    }

    #[test]
    fn a_part_without_pods_leaves_the_whole_right_and_the_parts_unsaid() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 0.0), point("r", "b", 0.0)], &[]);
        let split = counters.look(
            &[point("r", "a", 10.0), point("r", "b", 10.0)],
            &[point("e", "", 5.0)],
        );
        assert_eq!(split, Split::whole(tally(15, 5)));
    }

    #[test]
    fn a_series_that_was_away_goes_on_where_it_was_until_it_is_forgotten() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 100.0), point("r", "b", 1.0)], &[]);
        for _ in 0..FORGET_AFTER_LOOKS {
            counters.look(&[point("r", "b", 1.0)], &[]);
        }
        assert_eq!(counters.remembered(), 2);
        let back = counters.look(&[point("r", "a", 103.0), point("r", "b", 1.0)], &[]);
        assert_eq!(back.total, tally(3, 0));
        for _ in 0..=FORGET_AFTER_LOOKS {
            counters.look(&[point("r", "b", 1.0)], &[]);
        }
        assert_eq!(counters.remembered(), 1);
    }

    #[test]
    fn a_negative_value_is_no_counter() {
        let mut counters = Counters::new(Part::Bad);
        counters.look(&[point("r", "a", 10.0)], &[]);
        assert_eq!(
            counters.look(&[point("r", "a", -4.0)], &[]).total,
            tally(0, 0)
        );
        assert_eq!(
            counters.look(&[point("r", "a", 12.0)], &[]).total,
            tally(2, 0)
        );
    }

    proptest! {
        /// Whatever the pods do between looks (serve, fail, restart), and whatever fractions a counter
        /// has, all looks together count every event once, and the parts add up to the whole.
        #[test]
        fn every_event_is_counted_once(
            steps in proptest::collection::vec((0..4_usize, 0..50_u32, 0..50_u32, any::<bool>()), 1..80),
            part_is_good in any::<bool>(),
        ) {
            let part = if part_is_good { Part::Good } else { Part::Bad };
            let mut counters = Counters::new(part);
            let mut pods = [(0_u64, 0_u64); 4];
            let points = |pods: &[(u64, u64); 4], all: bool| -> Vec<Point> {
                pods.iter().enumerate().map(|(index, (total, some))| {
                    let count = if all { *total } else { *some };
                    point(if all { "r" } else { "s" }, &index.to_string(), count as f64)
                }).collect()
            };
            counters.look(&points(&pods, true), &points(&pods, false));
            let (mut events, mut some_events) = (0, 0);
            let mut sum = Tally::default();
            for (pod, rest, some, restart) in steps {
                let (rest, some) = (u64::from(rest), u64::from(some));
                // A restart is seen only if the counter is lower than it was, so it serves less at first.
                let (total_before, some_before) = pods[pod];
                if restart && rest + some < total_before && some < some_before {
                    pods[pod] = (0, 0);
                }
                pods[pod].0 += rest + some;
                pods[pod].1 += some;
                events += rest + some;
                some_events += some;
                let split = counters.look(&points(&pods, true), &points(&pods, false));
                let mut parts = Tally::default();
                split.by_pod.iter().for_each(|(_, tally)| parts.add(*tally));
                prop_assert_eq!(parts, split.total);
                sum.add(split.total);
            }
            prop_assert_eq!(sum.valid(), events);
            prop_assert_eq!(if part_is_good { sum.good } else { sum.bad }, some_events);
        }

        /// Rounding never makes or loses more than one event, however many looks there are.
        #[test]
        fn fractions_do_not_add_up(added in proptest::collection::vec(0.0..3.0_f64, 1..200)) {
            let mut counters = Counters::new(Part::Bad);
            let mut value = 0.25;
            counters.look(&[point("r", "a", value)], &[]);
            let mut counted = 0;
            for more in &added {
                value += more;
                counted += counters.look(&[point("r", "a", value)], &[]).total.valid();
            }
            prop_assert!((counted as f64 - added.iter().sum::<f64>()).abs() <= 1.0);
        }
    }
}
