//! Upkeep: samples from segments into chunks, and forgetting.
//!
//! ```text
//! segments  … 4711 4712 4713 4714 …      one a batch, of whatever series had samples in it
//!               └────┬────┘
//!                  round: a few series a transaction; each is then `through` 4713
//!                    ▼
//! chunks    (series, hour) …             one row, read with one seek
//! ```
//!
//! A series that is through a segment is not looked for in it any more, so a kill between two
//! transactions neither loses nor doubles a sample. Segments go when all series are through.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{chunk_id, chunks_before, hour, oldest_segments, unpacked};
use super::write::probe;
use super::writer::upkeep;
use super::{Sqlite, failed, sql};
use crate::domain::id::ProbeId;
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;
use crate::store::segment::{SeriesNumber, pack};
use crate::store::{Retention, StoreError};

/// Blocks that are in memory at once: a quarter of an hour of five thousand probes fits many times.
const ROUND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Series written in one transaction: a few milliseconds that a commit may have to wait.
const SERIES_A_TRANSACTION: usize = 64;

/// A series that takes part in a round.
struct Part {
    name: ProbeId,
    through: i64,
}

/// Moves all segments there are into chunks.
pub(super) async fn compact(store: &Sqlite) -> Result<u64, StoreError> {
    let _alone = store.upkeep.lock().await;
    let newest = newest_segment(store).await?;
    let mut moved = 0;
    loop {
        let mut segments = oldest_segments(&store.readers, ROUND_BYTES_MAX).await?;
        segments.retain(|(id, _)| *id <= newest);
        if segments.is_empty() {
            return Ok(moved);
        }
        round(store, &segments).await?;
        moved += segments.len() as u64;
    }
}

/// Later ones come while this works, and wait for the next time.
async fn newest_segment(store: &Sqlite) -> Result<i64, StoreError> {
    let newest: Option<i64> = sqlx::query_scalar(sql::NEWEST_SEGMENT)
        .fetch_one(&store.readers)
        .await
        .map_err(failed("read the newest segment"))?;
    Ok(newest.unwrap_or(i64::MIN))
}

async fn round(store: &Sqlite, segments: &[(i64, Vec<u8>)]) -> Result<(), StoreError> {
    let doing = "compact samples";
    let Some((through, _)) = segments.last() else {
        return Ok(());
    };
    let mut present = BTreeSet::new();
    for (_, block) in segments {
        let note = |number| {
            present.insert(number);
            None
        };
        unpacked(block, note, &mut Vec::new())?;
    }
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(sql::SERIES)
        .fetch_all(&store.readers)
        .await
        .map_err(failed(doing))?;
    let mut parts = Vec::new();
    for (number, name, through) in rows {
        let number = number.cast_unsigned();
        if present.contains(&number) {
            let name = probe(&name)?;
            parts.push((number, Part { name, through }));
        }
    }
    while !parts.is_empty() {
        let some = parts.split_off(parts.len().saturating_sub(SERIES_A_TRANSACTION));
        let some: BTreeMap<SeriesNumber, Part> = some.into_iter().collect();
        let chunks = merged(store, segments, &some).await?;
        let mut writer = store.writer.lock().await;
        let writer = upkeep(&mut writer).await?;
        for (id, block) in chunks {
            let put = sqlx::query(sql::PUT_CHUNK).bind(id).bind(block);
            let put = put.execute(&mut writer.connection).await;
            put.map_err(failed(doing))?;
        }
        for number in some.keys() {
            let mark = sqlx::query(sql::SERIES_IS_THROUGH).bind(through);
            let mark = mark.bind(number.cast_signed());
            mark.execute(&mut writer.connection)
                .await
                .map_err(failed(doing))?;
        }
        writer.end().await?;
    }
    let mut writer = store.writer.lock().await;
    let writer = upkeep(&mut writer).await?;
    for statement in [sql::ALL_SERIES_ARE_THROUGH, sql::FORGET_SEGMENTS_THROUGH] {
        let run = sqlx::query(statement).bind(through);
        let run = run.execute(&mut writer.connection).await;
        run.map_err(failed(doing))?;
    }
    writer.end().await
}

/// The chunks of some series as they are with what the segments hold.
async fn merged(
    store: &Sqlite,
    segments: &[(i64, Vec<u8>)],
    parts: &BTreeMap<SeriesNumber, Part>,
) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let numbers: BTreeMap<ProbeId, SeriesNumber> = parts
        .iter()
        .map(|(number, part)| (part.name.clone(), *number))
        .collect();
    let mut found = Vec::new();
    for (id, block) in segments {
        let wanted = |number| {
            let part: Option<&Part> = parts.get(&number);
            let part = part.filter(|part| part.through < *id);
            part.map(|part| part.name.clone())
        };
        unpacked(block, wanted, &mut found)?;
    }
    let mut hours: BTreeMap<(SeriesNumber, i64), Vec<Sample>> = BTreeMap::new();
    for sample in found {
        if let Some(number) = numbers.get(&sample.series) {
            let place = (*number, hour(sample.span.to));
            hours.entry(place).or_default().push(sample);
        }
    }
    let mut chunks = Vec::with_capacity(hours.len());
    for ((number, hour), fresh) in hours {
        let id = chunk_id(number, hour);
        let old: Option<Vec<u8>> = sqlx::query_scalar(sql::CHUNK)
            .bind(id)
            .fetch_optional(&store.readers)
            .await
            .map_err(failed("read a chunk"))?;
        let mut samples = Vec::new();
        if let Some(old) = old {
            let name = parts.get(&number).map(|part| &part.name);
            unpacked(&old, |_| name.cloned(), &mut samples)?;
        }
        samples.extend(fresh);
        samples.sort_by_key(|sample| sample.span.to);
        chunks.push((id, pack(samples.iter().map(|sample| (number, sample)))));
    }
    Ok(chunks)
}

/// Forgets by age. Whatever is open is spared by the statements themselves.
pub(super) async fn retain(
    store: &Sqlite,
    retention: Retention,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let _alone = store.upkeep.lock().await;
    let samples_from = now - retention.samples;
    let mut gone = forget_chunks(store, samples_from).await?;
    let rows_from = (now - retention.alerts).as_micros();
    let samples_from = samples_from.as_micros();
    let plan = [
        (sql::FORGET_SEGMENTS_BEFORE, samples_from),
        (sql::FORGET_IMAGES, samples_from),
        (sql::FORGET_TRANSITIONS, rows_from),
        (sql::FORGET_ALERTS, rows_from),
        (sql::FORGET_ATTEMPTS, rows_from),
        (sql::FORGET_DELIVERIES, rows_from),
        (sql::FORGET_ROLLBACKS, rows_from),
        (sql::FORGET_DECISIONS, rows_from),
        (sql::FORGET_PETITIONS, rows_from),
        (sql::FORGET_TOLD, rows_from),
    ];
    let doing = "forget what is old";
    let mut writer = store.writer.lock().await;
    let writer = upkeep(&mut writer).await?;
    for (statement, from) in plan {
        let run = sqlx::query(statement).bind(from);
        let run = run
            .execute(&mut writer.connection)
            .await
            .map_err(failed(doing))?;
        gone += run.rows_affected();
    }
    writer.end().await?;
    let checkpoint = sqlx::query(sql::CHECKPOINT);
    let checkpoint = checkpoint.execute(&mut writer.connection).await;
    checkpoint.map_err(failed("cut the log back"))?;
    Ok(gone)
}

/// Whole hours that are older; some series a transaction, as they are many on the day they go.
async fn forget_chunks(store: &Sqlite, from: Timestamp) -> Result<u64, StoreError> {
    let doing = "forget old samples";
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(sql::SERIES)
        .fetch_all(&store.readers)
        .await
        .map_err(failed(doing))?;
    let mut gone = 0;
    for some in rows.chunks(SERIES_A_TRANSACTION) {
        let mut writer = store.writer.lock().await;
        let writer = upkeep(&mut writer).await?;
        for (number, _, _) in some {
            let (first, end) = chunks_before(number.cast_unsigned(), hour(from));
            let forget = sqlx::query(sql::FORGET_CHUNKS).bind(first).bind(end);
            let forget = forget.execute(&mut writer.connection).await;
            gone += forget.map_err(failed(doing))?.rows_affected();
        }
        writer.end().await?;
    }
    Ok(gone)
}
