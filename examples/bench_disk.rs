//! Bytes that a stored sample takes at rest: looks as the prober makes them, committed in batches as the
//! driver does, brought to rest as the janitor does. `bench_disk DAYS`; prints `bytes_per_sample N`.

use std::time::Duration;

use anyhow::Context as _;
use holdfast::domain::change::{Batch, Change, Fence, Role};
use holdfast::domain::id::{BatchId, Digest, ProbeId};
use holdfast::domain::rollback::Term;
use holdfast::domain::sample::{Reading, Sample};
use holdfast::domain::time::{Span, Timestamp};
use holdfast::store::open;

/// Probes @30 s of one run.
const PROBES: usize = 100;
/// Seconds of one batch; a daemon with more probes has as many samples in less time.
const BATCH_SECONDS: i64 = 600;
const FENCE: Fence = Fence {
    role: Role::Judge,
    term: Term(1),
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let days: i64 = std::env::args()
        .nth(1)
        .context("bench_disk DAYS")?
        .parse()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("holdfast.db");
    let store = open(&path).await?;
    let mut probes = Vec::new();
    for number in 0..PROBES {
        let probe: ProbeId = format!("acme/probe-{number}").parse()?;
        probes.push(probe);
    }
    let mut samples = 0_u32;
    for begin in (0..days * 86_400).step_by(usize::try_from(BATCH_SECONDS)?) {
        let mut changes = Vec::new();
        for second in (begin..begin + BATCH_SECONDS).step_by(30) {
            for (place, probe) in (0..).zip(&probes) {
                changes.push(Change::Keep(look(probe, second, place)));
                samples += 1;
            }
        }
        let batch = Batch {
            id: BatchId(Digest::of(&[begin.to_le_bytes()])),
            at: Timestamp::from_secs(begin),
            changes,
        };
        store.commit(&batch, FENCE).await?;
        if begin % 86_400 == 0 {
            store.compact().await?;
        }
    }
    store.compact().await?;
    store.close().await;
    let mut bytes = std::fs::metadata(&path)?.len();
    if let Ok(log) = std::fs::metadata(folder.path().join("holdfast.db-wal")) {
        bytes += log.len();
    }
    let bytes = u32::try_from(bytes)?;
    println!(
        "bytes_per_sample {:.2}",
        f64::from(bytes) / f64::from(samples)
    );
    println!("samples {samples}");
    Ok(())
}

/// A look that took 8 to 24 ms, and began up to a millisecond late.
fn look(probe: &ProbeId, second: i64, place: u64) -> Sample {
    let chance = Digest::of(&[second.to_le_bytes(), place.to_le_bytes()]).0;
    let noise = u64::from(u16::from_le_bytes([chance[0], chance[1]])) % 16_000;
    let late = Duration::from_micros(u64::from(u16::from_le_bytes([chance[2], chance[3]])) % 1_000);
    let phase = Duration::from_micros(place * 300_000 % 30_000_000);
    Sample {
        series: probe.clone(),
        span: Span::at(Timestamp::from_secs(second) + phase + late),
        reading: Reading::Look {
            good: true,
            latency: Some(Duration::from_micros(8_000 + noise)),
            value: None,
            why: None,
        },
    }
}
