//! What one probe has seen lately: counts on a ladder of widths, exact latencies where a quantile is
//! asked for, the latest value, and the row of failures. All objectives of the probe read it.
//!
//! ```text
//! window 10m, looks every 15s      ├──┼──┼──┼──┼──┼── … ──┼──┤   rung: buckets of 10 s
//! window 6h                        ├────┼────┼── … ──┼────┤      rung: buckets of 6 min
//! ```
//!
//! A window is the half-open span `(now − over, now]`, made of whole buckets: the oldest bucket is left
//! out as soon as its begin has slid out, so a window is never longer than it says and at most one
//! bucket (a sixtieth of it, or half an interval) shorter. Nothing is allocated per sample.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sample::{Outcome, Reading, Sample, Tally};
use super::time::Timestamp;
use super::value::Value;

/// Buckets of one window: the finest slice that is told apart is a sixtieth of the window.
const SLICES: i64 = 60;
/// Windows up to this many times the shortest share a rung.
const RUNG_REACH: i64 = 4;
/// Latencies kept for quantiles at most; `config` refuses windows that would hold more looks.
pub const LOOKS_MAX: usize = 16_384;

/// One slice of a rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Events.
    pub tally: Tally,
    /// Looks that were void.
    pub void: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rung {
    width: i64,
    /// Index (time divided by width) of the newest bucket; those before it stand behind it in the ring.
    head: i64,
    ring: Box<[Bucket]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Looks {
    /// Longest window in microseconds.
    reach: i64,
    ring: VecDeque<(i64, u32)>,
    /// For each window: the latencies in it, sorted, and how many of the ring's oldest are not in it.
    sorted: Vec<(i64, Vec<u32>, usize)>,
}

/// What a series must be able to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Windows over which events are counted.
    pub counts: Vec<Duration>,
    /// Windows over which latency quantiles are taken.
    pub quantiles: Vec<Duration>,
    /// Time between looks.
    pub every: Duration,
}

impl Shape {
    /// How far back the series must know.
    #[must_use]
    pub fn reach(&self) -> Duration {
        self.counts
            .iter()
            .chain(&self.quantiles)
            .copied()
            .max()
            .unwrap_or_default()
    }
}

/// The last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// When it ended.
    pub at: Timestamp,
    /// What it was held to be.
    pub outcome: Outcome,
    /// How long it took.
    pub latency: Option<Duration>,
    /// The value it brought.
    pub value: Option<Value>,
    /// What was wrong.
    pub why: Option<Arc<str>>,
}

/// One probe's recent past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    rungs: Vec<Rung>,
    looks: Option<Looks>,
    value: Option<(Timestamp, Value)>,
    failures: u64,
    bad_why: Option<Arc<str>>,
    last: Option<Last>,
    conclusive: Option<Timestamp>,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros())
        .unwrap_or(i64::MAX / 4)
        .max(1)
}

// === impl Rung ===

impl Rung {
    fn new(width: i64, over: i64) -> Self {
        let length = usize::try_from(over / width + 2).unwrap_or(2);
        Self {
            width,
            head: i64::MIN / 2,
            ring: vec![Bucket::default(); length].into(),
        }
    }

    fn slot(&self, index: i64) -> usize {
        usize::try_from(index.rem_euclid(self.ring.len() as i64)).unwrap_or(0)
    }

    fn bucket(&mut self, at: i64) -> Option<&mut Bucket> {
        let index = at.div_euclid(self.width);
        let length = self.ring.len() as i64;
        if index > self.head {
            if index - self.head >= length {
                self.ring.fill(Bucket::default());
            } else {
                for passed in self.head + 1..=index {
                    let slot = self.slot(passed);
                    self.ring[slot] = Bucket::default();
                }
            }
            self.head = index;
        } else if self.head - index >= length {
            return None;
        }
        let slot = self.slot(index);
        Some(&mut self.ring[slot])
    }

    /// Buckets of `(after, now]`, oldest first, with their end.
    fn slices(&self, after: i64, now: i64) -> impl Iterator<Item = (i64, &Bucket)> {
        let oldest = self.head.saturating_sub(self.ring.len() as i64 - 1);
        let first = (after.div_euclid(self.width) + 1).max(oldest);
        let last = now.div_euclid(self.width).min(self.head);
        (first..=last).map(move |index| ((index + 1) * self.width, &self.ring[self.slot(index)]))
    }
}

// === impl Looks ===

impl Looks {
    fn new(windows: &[Duration]) -> Self {
        let mut widths: Vec<i64> = windows.iter().map(|over| micros(*over)).collect();
        widths.sort_unstable();
        widths.dedup();
        Self {
            reach: widths.last().copied().unwrap_or(1),
            ring: VecDeque::new(),
            sorted: widths
                .into_iter()
                .map(|over| (over, Vec::new(), 0))
                .collect(),
        }
    }

    fn push(&mut self, at: i64, latency: u32) {
        // A late look is put in as of the newest one, so that the ring stays ordered by time.
        let at = self.ring.back().map_or(at, |(newest, _)| at.max(*newest));
        self.ring.push_back((at, latency));
        for (_, values, _) in &mut self.sorted {
            let place = values.partition_point(|value| *value < latency);
            values.insert(place, latency);
        }
        self.slide(at);
    }

    fn slide(&mut self, now: i64) {
        for (over, values, gone) in &mut self.sorted {
            while let Some((at, latency)) = self.ring.get(*gone) {
                if *at > now - *over {
                    break;
                }
                if let Ok(place) = values.binary_search(latency) {
                    values.remove(place);
                }
                *gone += 1;
            }
        }
        while self.ring.len() > LOOKS_MAX
            || self
                .ring
                .front()
                .is_some_and(|(at, _)| *at <= now - self.reach)
        {
            let Some((_, latency)) = self.ring.pop_front() else {
                break;
            };
            for (_, values, gone) in &mut self.sorted {
                if *gone > 0 {
                    *gone -= 1;
                } else if let Ok(place) = values.binary_search(&latency) {
                    values.remove(place);
                }
            }
        }
    }
}

/// The nearest-rank quantile of sorted values.
fn nearest_rank(sorted: &[u32], per_mille: u16) -> Option<Duration> {
    let count = sorted.len();
    let rank = (count * usize::from(per_mille))
        .div_ceil(1000)
        .clamp(1, count.max(1));
    sorted
        .get(rank - 1)
        .map(|micros| Duration::from_micros(u64::from(*micros)))
}

// === impl Series ===

impl Series {
    /// An empty series that can answer what the shape asks.
    #[must_use]
    pub fn new(shape: &Shape) -> Self {
        let mut windows: Vec<i64> = shape
            .counts
            .iter()
            .chain(&shape.quantiles)
            .map(|over| micros(*over))
            .collect();
        windows.sort_unstable();
        windows.dedup();
        let every = micros(shape.every);
        let mut rungs: Vec<Rung> = Vec::new();
        let mut rest = windows.as_slice();
        while let Some(shortest) = rest.first() {
            let shared = rest.partition_point(|over| *over <= shortest.saturating_mul(RUNG_REACH));
            let longest = rest[shared - 1];
            let width = (every / 2).clamp((shortest / SLICES).max(1), (shortest / 5).max(1));
            rungs.push(Rung::new(width, longest));
            rest = &rest[shared..];
        }
        let looks = (!shape.quantiles.is_empty()).then(|| Looks::new(&shape.quantiles));
        Self {
            rungs,
            looks,
            value: None,
            failures: 0,
            bad_why: None,
            last: None,
            conclusive: None,
        }
    }

    /// Takes a sample.
    pub fn record(&mut self, sample: &Sample) {
        let at = sample.span.to;
        let (tally, void) = match &sample.reading {
            Reading::Look {
                good,
                latency,
                value,
                why,
            } => {
                self.look(at, *good, *latency, *value, why);
                (
                    Tally {
                        good: u64::from(*good),
                        bad: u64::from(!*good),
                    },
                    0,
                )
            }
            Reading::Counts(split) => {
                self.conclusive = Some(at);
                (split.total, 0)
            }
            Reading::Void(_) => (Tally::default(), 1),
        };
        for rung in &mut self.rungs {
            if let Some(bucket) = rung.bucket(at.as_micros()) {
                bucket.tally.add(tally);
                bucket.void += void;
            }
        }
        let (latency, value, why) = match &sample.reading {
            Reading::Look {
                latency,
                value,
                why,
                ..
            } => (*latency, *value, why.clone()),
            Reading::Counts(_) | Reading::Void(_) => (None, None, None),
        };
        self.last = Some(Last {
            at,
            outcome: sample.outcome(),
            latency,
            value,
            why,
        });
    }

    fn look(
        &mut self,
        at: Timestamp,
        good: bool,
        latency: Option<Duration>,
        value: Option<Value>,
        why: &Option<Arc<str>>,
    ) {
        self.conclusive = Some(at);
        if good {
            self.failures = 0;
        } else {
            self.failures += 1;
            self.bad_why.clone_from(why);
        }
        if let Some(value) = value {
            self.value = Some((at, value));
        }
        if let (Some(looks), Some(latency)) = (&mut self.looks, latency) {
            let latency = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
            looks.push(at.as_micros(), latency);
        }
    }

    fn rung(&self, over: Duration) -> Option<&Rung> {
        let over = micros(over);
        self.rungs
            .iter()
            .find(|rung| (rung.ring.len() as i64 - 2) * rung.width + rung.width > over)
    }

    /// Events and void looks of `(now − over, now]`, and after `since` if that is later.
    #[must_use]
    pub fn count(&self, now: Timestamp, over: Duration, since: Option<Timestamp>) -> Bucket {
        let mut sum = Bucket::default();
        let Some(rung) = self.rung(over) else {
            return sum;
        };
        let after = since.map_or(now - over, |since| since.max(now - over));
        for (_, bucket) in rung.slices(after.as_micros(), now.as_micros()) {
            sum.tally.add(bucket.tally);
            sum.void += bucket.void;
        }
        sum
    }

    /// The slices of a window, oldest first, each with its end.
    pub fn slices(
        &self,
        now: Timestamp,
        over: Duration,
    ) -> impl Iterator<Item = (Timestamp, Bucket)> + '_ {
        self.rung(over).into_iter().flat_map(move |rung| {
            rung.slices((now - over).as_micros(), now.as_micros())
                .map(|(end, bucket)| (Timestamp::from_micros(end), *bucket))
        })
    }

    /// The latency that `per_mille` of the looks in the window do not exceed, and how many looks there are.
    pub fn quantile(
        &mut self,
        now: Timestamp,
        over: Duration,
        since: Option<Timestamp>,
        per_mille: u16,
    ) -> (Option<Duration>, u64) {
        let Some(looks) = &mut self.looks else {
            return (None, 0);
        };
        if let Some(since) = since {
            let after = since.max(now - over).as_micros();
            let mut values: Vec<u32> = looks
                .ring
                .iter()
                .filter(|(at, _)| *at > after)
                .map(|(_, value)| *value)
                .collect();
            values.sort_unstable();
            return (nearest_rank(&values, per_mille), values.len() as u64);
        }
        looks.slide(now.as_micros());
        let over = micros(over);
        match looks.sorted.iter().find(|(width, _, _)| *width == over) {
            Some((_, values, _)) => (nearest_rank(values, per_mille), values.len() as u64),
            None => (None, 0),
        }
    }

    /// The latest value, and when it was seen.
    #[must_use]
    pub const fn value(&self) -> Option<(Timestamp, Value)> {
        self.value
    }

    /// Bad looks in a row, up to now.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// What the last bad look said.
    #[must_use]
    pub const fn bad_why(&self) -> Option<&Arc<str>> {
        self.bad_why.as_ref()
    }

    /// The last look.
    #[must_use]
    pub const fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// When something was last seen that was not void.
    #[must_use]
    pub const fn conclusive(&self) -> Option<Timestamp> {
        self.conclusive
    }

    /// The series in its own encoding: everything but the latencies, which are read back as samples.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let mut out = vec![IMAGE_VERSION];
        let mut put = |number: i64| out.extend_from_slice(&number.to_le_bytes());
        put(self.failures as i64);
        put(self.conclusive.map_or(i64::MIN, Timestamp::as_micros));
        let (at, value) = self.value.map_or((i64::MIN, 0), |(at, value)| {
            (
                at.as_micros(),
                i64::from_le_bytes(value.get().to_le_bytes()),
            )
        });
        put(at);
        put(value);
        put(self.rungs.len() as i64);
        for rung in &self.rungs {
            let filled: Vec<(usize, &Bucket)> = rung
                .ring
                .iter()
                .enumerate()
                .filter(|(_, bucket)| **bucket != Bucket::default())
                .collect();
            put(rung.width);
            put(rung.ring.len() as i64);
            put(rung.head);
            put(filled.len() as i64);
            for (slot, bucket) in filled {
                put(slot as i64);
                put(bucket.tally.good as i64);
                put(bucket.tally.bad as i64);
                put(i64::from(bucket.void));
            }
        }
        out
    }

    /// Takes over the counts of an image, if it is of the same ladder. False: it was not usable, and the
    /// series is as it was. A series with latencies takes none: its looks must be replayed as samples.
    pub fn restore(&mut self, image: &[u8]) -> bool {
        if self.looks.is_some() {
            return false;
        }
        let mut taken = self.clone();
        if taken.read(image).is_none() {
            return false;
        }
        *self = taken;
        true
    }

    fn read(&mut self, image: &[u8]) -> Option<()> {
        let (version, rest) = image.split_first()?;
        if *version != IMAGE_VERSION {
            return None;
        }
        let mut numbers = rest.chunks_exact(8).map(|bytes| {
            let mut number = [0_u8; 8];
            number.copy_from_slice(bytes);
            i64::from_le_bytes(number)
        });
        let mut next = || numbers.next();
        self.failures = u64::try_from(next()?).ok()?;
        let instant = |micros: i64| (micros != i64::MIN).then(|| Timestamp::from_micros(micros));
        self.conclusive = instant(next()?);
        let at = instant(next()?);
        let value = Value::try_new(f64::from_le_bytes(next()?.to_le_bytes())).ok()?;
        self.value = at.map(|at| (at, value));
        if next()? != self.rungs.len() as i64 {
            return None;
        }
        for rung in &mut self.rungs {
            if next()? != rung.width || next()? != rung.ring.len() as i64 {
                return None;
            }
            rung.head = next()?;
            for _ in 0..next()? {
                let slot = usize::try_from(next()?).ok()?;
                let good = u64::try_from(next()?).ok()?;
                let bad = u64::try_from(next()?).ok()?;
                let void = u32::try_from(next()?).ok()?;
                *rung.ring.get_mut(slot)? = Bucket {
                    tally: Tally { good, bad },
                    void,
                };
            }
        }
        Some(())
    }
}

const IMAGE_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::id::ProbeId;
    use super::super::sample::{Blind, Split};
    use super::super::time::Span;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn id() -> ProbeId {
        "acme/api".parse().unwrap()
    }

    fn look(second: i64, good: bool, millis: u64) -> Sample {
        Sample {
            series: id(),
            span: Span::at(Timestamp::from_secs(second)),
            reading: Reading::Look {
                good,
                latency: Some(Duration::from_millis(millis)),
                value: None,
                why: None,
            },
        }
    }

    fn counts(second: i64, good: u64, bad: u64) -> Sample {
        Sample {
            series: id(),
            span: Span::at(Timestamp::from_secs(second)),
            reading: Reading::Counts(Split::whole(Tally { good, bad })),
        }
    }

    fn shape(counts: &[u64], quantiles: &[u64], every: u64) -> Shape {
        let seconds = |list: &[u64]| list.iter().map(|s| Duration::from_secs(*s)).collect();
        Shape {
            counts: seconds(counts),
            quantiles: seconds(quantiles),
            every: Duration::from_secs(every),
        }
    }

    #[test]
    fn a_window_forgets_what_slid_out_of_it() {
        let mut series = Series::new(&shape(&[60], &[], 10));
        for second in (0..120).step_by(10) {
            series.record(&counts(second, 9, 1));
        }
        let at = |second| {
            series
                .count(Timestamp::from_secs(second), MINUTE, None)
                .tally
        };
        assert_eq!(at(110), Tally { good: 54, bad: 6 });
        assert_eq!(at(140), Tally { good: 27, bad: 3 });
        assert_eq!(at(500), Tally::default());
    }

    #[test]
    fn events_since_a_mark_leave_out_what_came_before() {
        let mut series = Series::new(&shape(&[60], &[60], 1));
        for second in 100..120 {
            series.record(&look(second, second >= 110, second as u64));
        }
        let now = Timestamp::from_secs(119);
        let mark = Some(Timestamp::from_secs(109));
        assert_eq!(
            series.count(now, MINUTE, None).tally,
            Tally { good: 10, bad: 10 }
        );
        assert_eq!(
            series.count(now, MINUTE, mark).tally,
            Tally { good: 10, bad: 0 }
        );
        assert_eq!(
            series.quantile(now, MINUTE, mark, 1).0,
            Some(Duration::from_millis(110))
        );
    }

    #[test]
    fn void_looks_neither_count_nor_break_the_row_of_failures() {
        let mut series = Series::new(&shape(&[60], &[], 1));
        series.record(&look(1, false, 5));
        let mut void = look(2, true, 5);
        void.reading = Reading::Void(Blind::Network);
        series.record(&void);
        series.record(&look(3, false, 5));
        assert_eq!(series.failures(), 2);
        let bucket = series.count(Timestamp::from_secs(3), MINUTE, None);
        assert_eq!((bucket.tally.valid(), bucket.void), (2, 1));
        assert_eq!(series.last().unwrap().outcome, Outcome::Bad);
    }

    #[test]
    fn an_image_brings_the_counts_back() {
        let shape = shape(&[60, 3600], &[], 10);
        let mut series = Series::new(&shape);
        for second in (0..900).step_by(10) {
            series.record(&counts(second, 3, 1));
        }
        let mut restored = Series::new(&shape);
        assert!(restored.restore(&series.image()));
        let now = Timestamp::from_secs(895);
        for over in [60, 3600] {
            let over = Duration::from_secs(over);
            assert_eq!(
                restored.count(now, over, None),
                series.count(now, over, None)
            );
        }
        let mut other = Series::new(&Shape {
            every: MINUTE,
            ..shape
        });
        assert!(!other.restore(&series.image()));
        assert!(!other.restore(b"nonsense"));
    }

    proptest! {
        /// Whatever comes in whatever order: a window counts what a naive list counts, give or take the
        /// bucket at its old end, and quantiles are those of the sorted list.
        #[test]
        fn windows_agree_with_a_naive_list(
            steps in prop::collection::vec((1_u64..20, 0_u64..5, 1_u64..500), 1..120),
        ) {
            let over = Duration::from_secs(60);
            let mut series = Series::new(&shape(&[60, 600], &[60], 1));
            let mut list: Vec<(i64, bool, u64)> = Vec::new();
            let mut second = 1_000;
            for (gap, bad, millis) in steps {
                second += gap as i64;
                series.record(&look(second, bad != 0, millis));
                list.push((second, bad != 0, millis));
            }
            let now = Timestamp::from_secs(second);
            let inside: Vec<_> = list.iter().filter(|(at, _, _)| *at > second - 60).collect();
            let counted = series.count(now, over, None).tally.valid();
            prop_assert!(counted <= inside.len() as u64 && counted + 1 >= inside.len() as u64);
            let mut sorted: Vec<u64> = inside.iter().map(|(_, _, millis)| *millis).collect();
            sorted.sort_unstable();
            let rank = (sorted.len() * 950).div_ceil(1000).max(1);
            let (quantile, looks) = series.quantile(now, over, None, 950);
            prop_assert_eq!(looks, sorted.len() as u64);
            prop_assert_eq!(quantile, Some(Duration::from_millis(sorted[rank - 1])));
        }
    }
}
