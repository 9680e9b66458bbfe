//! What remembering costs in SQLite: samples a second, a commit of the fast lane, a page of a long history.
//!
//! `cargo bench --bench store`; the database lies in the system's temporary directory, so the fast lane's
//! figure is that of this disk's sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use holdfast::domain::change::{Batch, Change, Fence, Role};
use holdfast::domain::delivery::{Attempt, DeliveryState};
use holdfast::domain::id::{BatchId, DeliveryId, Digest, ProbeId};
use holdfast::domain::rollback::Term;
use holdfast::domain::sample::{Reading, Sample};
use holdfast::domain::time::{Span, Timestamp};
use holdfast::store::segment::pack;
use holdfast::store::{SampleQuery, Store, open};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

const FENCE: Fence = Fence {
    role: Role::Judge,
    term: Term(1),
};
const MONTH_SECONDS: i64 = 30 * 86_400;

struct Bench {
    runtime: Runtime,
    store: Arc<dyn Store>,
    batches: AtomicU64,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let directory = tempfile::tempdir().expect("there is room for a file");
        let path = directory.path().join("holdfast.db");
        let store = runtime.block_on(open(&path)).expect("a database opens");
        Self {
            runtime,
            store,
            batches: AtomicU64::new(0),
            _directory: directory,
        }
    }

    fn batch(&self, changes: Vec<Change>) -> Batch {
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        Batch {
            id: BatchId(Digest::of(&[number.to_le_bytes()])),
            at: Timestamp::from_secs(0),
            changes,
        }
    }

    fn commit(&self, batch: &Batch) {
        let commit = self.store.commit(batch, FENCE);
        self.runtime.block_on(commit).expect("it is committed");
    }
}

fn series(count: usize) -> Vec<ProbeId> {
    let name = |number| format!("acme/probe-{number}");
    let probe = |number| name(number).parse().expect("it is a name");
    (0..count).map(probe).collect()
}

fn look(series: &ProbeId, seconds: i64, spread: u64) -> Sample {
    let noise = (seconds.unsigned_abs().wrapping_mul(2_654_435_761) ^ spread) % 16_000;
    let instant = Timestamp::from_secs(seconds) + Duration::from_micros(noise / 16);
    Sample {
        series: series.clone(),
        span: Span::at(instant),
        reading: Reading::Look {
            good: true,
            latency: Some(Duration::from_micros(8_000 + noise)),
            value: None,
            why: None,
        },
    }
}

/// One batch of the slow lane: 33 samples are 200 ms of 5 000 probes @30 s, 20 000 are 200 ms of the goal.
#[divan::bench(args = [33, 1_000, 20_000])]
fn samples_in_batches_of(bencher: Bencher<'_, '_>, count: usize) {
    let bench = Bench::new();
    let series = series(5_000);
    let second = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let second = second.fetch_add(1, Ordering::Relaxed).cast_signed();
            let looks = series.iter().cycle().take(count).enumerate();
            let keep = |(place, series)| Change::Keep(look(series, second, place as u64));
            bench.batch(looks.map(keep).collect())
        })
        .bench_refs(|batch| bench.commit(batch));
}

/// The packing alone.
#[divan::bench]
fn packing(bencher: Bencher<'_, '_>) {
    let series = series(5_000);
    let looks: Vec<(u64, Sample)> = (0..)
        .zip(&series)
        .map(|(place, series)| (place, look(series, 1, place)))
        .collect();
    bencher
        .counter(ItemsCount::new(looks.len()))
        .bench(|| pack(looks.iter().map(|(number, sample)| (*number, sample))));
}

/// A commit that must be on the disk before it is answered; with one of samples between two of them, as
/// in a daemon, so that the way commits reach the disk is switched each time.
#[divan::bench]
fn fast_lane(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let series = series(33);
    let attempt = Change::Attempt(Attempt {
        delivery: DeliveryId(Digest::of(&["delivery"])),
        number: 1,
        at: Timestamp::from_secs(0),
        answer: "200 OK".into(),
        state: DeliveryState::Delivered,
        due: Timestamp::from_secs(0),
    });
    bencher
        .with_inputs(|| {
            let keep = |series| Change::Keep(look(series, 1, 1));
            let soon = bench.batch(series.iter().map(keep).collect());
            bench.commit(&soon);
            bench.batch(vec![attempt.clone()])
        })
        .bench_refs(|batch| bench.commit(batch));
}

/// One series over thirty days @30 s, among ten others.
#[divan::bench]
fn thirty_days_of_one_series(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let series = series(10);
    for day in 0..30_i64 {
        let mut changes = Vec::new();
        for second in (day * 86_400..(day + 1) * 86_400).step_by(30) {
            let looks = series.iter().map(|series| look(series, second, 3));
            changes.extend(looks.map(Change::Keep));
        }
        let batch = bench.batch(changes);
        bench.commit(&batch);
        let compact = bench.store.compact();
        bench.runtime.block_on(compact).expect("it comes to rest");
    }
    let query = SampleQuery {
        series: series[3].clone(),
        from: Timestamp::from_secs(-1),
        to: Timestamp::from_secs(MONTH_SECONDS),
        limit: usize::MAX,
    };
    bencher.counter(ItemsCount::new(86_400_usize)).bench(|| {
        let samples = bench.store.samples(&query);
        let samples = bench.runtime.block_on(samples).expect("they are there");
        assert_eq!(samples.len(), 86_400);
        samples
    });
}
