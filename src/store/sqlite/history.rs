//! Reading samples back: from chunks, and from the segments that are not yet in chunks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures::TryStreamExt as _;
use sqlx::{SqliteConnection, SqlitePool};

use super::write::{corrupt, probe};
use super::{failed, sql};
use crate::domain::change::Image;
use crate::domain::id::ProbeId;
use crate::domain::need::{History, Need};
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;
use crate::store::segment::{SeriesNumber, unpack};
use crate::store::{SampleQuery, StoreError, image_serves};

/// Bits of a chunk's id that count hours: enough for nineteen centuries.
const HOUR_BITS: u32 = 24;
const HOUR_MICROS: i64 = 3_600_000_000;

/// The hour that an instant lies in; whatever is before 1970 lies in its first hour.
pub(super) fn hour(at: Timestamp) -> i64 {
    let hour = at.as_micros().max(0) / HOUR_MICROS;
    hour.min((1 << HOUR_BITS) - 1)
}

pub(super) fn chunk_id(series: SeriesNumber, hour: i64) -> i64 {
    (series.cast_signed() << HOUR_BITS) | hour
}

const fn hour_of(chunk: i64) -> i64 {
    chunk & ((1 << HOUR_BITS) - 1)
}

/// Ids of the chunks in which samples after `from`, up to and including `to`, can be.
fn chunks(series: SeriesNumber, from: Timestamp, to: Timestamp) -> RangeInclusive<i64> {
    chunk_id(series, hour(from))..=chunk_id(series, hour(to))
}

pub(super) fn unpacked(
    block: &[u8],
    wanted: impl FnMut(SeriesNumber) -> Option<ProbeId>,
    out: &mut Vec<Sample>,
) -> Result<(), StoreError> {
    unpack(block, wanted, out).map_err(|why| corrupt("block of samples", why))
}

/// Samples of one series, oldest first; the newest ones if there are more than the limit.
pub(super) async fn samples(
    readers: &SqlitePool,
    query: &SampleQuery,
) -> Result<Vec<Sample>, StoreError> {
    let doing = "read samples";
    let SampleQuery {
        series,
        from,
        to,
        limit,
    } = query;
    // One snapshot: a compaction moves samples from segments to chunks meanwhile.
    let mut snapshot = readers.begin().await.map_err(failed(doing))?;
    let known: Option<(i64, i64)> = sqlx::query_as(sql::ONE_SERIES)
        .bind(series.to_string())
        .fetch_optional(&mut *snapshot)
        .await
        .map_err(failed(doing))?;
    let Some((number, through)) = known else {
        return Ok(Vec::new());
    };
    let number = number.cast_unsigned();
    let mine = |of: SeriesNumber| (of == number).then(|| series.clone());
    let inside = |sample: &Sample| sample.span.to > *from && sample.span.to <= *to;
    let mut found = Vec::new();
    {
        let mut segments = sqlx::query_as::<_, (i64, Vec<u8>)>(sql::SEGMENTS_WITH)
            .bind(through)
            .bind(from.as_micros())
            .bind(to.as_micros())
            .fetch(&mut *snapshot);
        while let Some((_, block)) = segments.try_next().await.map_err(failed(doing))? {
            unpacked(&block, mine, &mut found)?;
        }
    }
    found.retain(inside);
    let range = chunks(number, *from, *to);
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(sql::CHUNKS_NEWEST_FIRST)
        .bind(*range.start())
        .bind(*range.end())
        .fetch(&mut *snapshot);
    let mut chunk = Vec::new();
    while let Some((id, block)) = rows.try_next().await.map_err(failed(doing))? {
        unpacked(&block, mine, &mut chunk)?;
        chunk.retain(inside);
        found.append(&mut chunk);
        // What comes is older than this hour; but so may late samples of segments be.
        let newer = |sample: &&Sample| hour(sample.span.to) >= hour_of(id);
        if found.len() >= *limit && found.iter().filter(newer).count() >= *limit {
            break;
        }
    }
    found.sort_by_key(|sample| sample.span.to);
    let surplus = found.len().saturating_sub(*limit);
    found.drain(..surplus);
    Ok(found)
}

/// What is read for one series, whoever needs it.
struct Reading {
    series: ProbeId,
    through: i64,
    from: Timestamp,
    to: Timestamp,
    samples: Vec<Sample>,
}

impl Reading {
    fn takes(&self, sample: &Sample) -> bool {
        sample.span.to > self.from && sample.span.to <= self.to
    }
}

/// Answers needs with one pass over the segments, and over the chunks of each series.
pub(super) async fn histories(
    readers: &SqlitePool,
    needs: &[Need],
) -> Result<Vec<History>, StoreError> {
    let doing = "read histories";
    let mut snapshot = readers.begin().await.map_err(failed(doing))?;
    let images = images(&mut snapshot, needs).await?;
    let serving = |need: &Need| {
        let image: Option<&Image> = images.get(&need.series);
        image.filter(|image| image_serves(image.shape, image.at, need))
    };
    let start = |need: &Need| serving(need).map_or(need.until - need.span, |image| image.at);

    let mut readings = BTreeMap::new();
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(sql::SERIES)
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed(doing))?;
    let mut numbers = BTreeMap::new();
    for (number, name, through) in rows {
        numbers.insert(probe(&name)?, (number.cast_unsigned(), through));
    }
    for need in needs {
        let Some((number, through)) = numbers.get(&need.series) else {
            continue;
        };
        let (from, to) = (start(need), need.until);
        let reading = readings.entry(*number).or_insert_with(|| Reading {
            series: need.series.clone(),
            through: *through,
            from,
            to,
            samples: Vec::new(),
        });
        reading.from = reading.from.min(from);
        reading.to = reading.to.max(to);
    }
    fill(&mut snapshot, &mut readings).await?;

    let history = |need: &Need| {
        let from = start(need);
        let reading = numbers
            .get(&need.series)
            .and_then(|(number, _)| readings.get(number));
        let samples = reading.into_iter().flat_map(|reading| &reading.samples);
        History {
            series: need.series.clone(),
            image: serving(need).cloned(),
            samples: samples
                .filter(|sample| sample.span.to > from && sample.span.to <= need.until)
                .cloned()
                .collect(),
        }
    };
    Ok(needs.iter().map(history).collect())
}

async fn fill(
    snapshot: &mut SqliteConnection,
    readings: &mut BTreeMap<SeriesNumber, Reading>,
) -> Result<(), StoreError> {
    let doing = "read histories";
    let mut found = Vec::new();
    for (number, reading) in readings.iter_mut() {
        let range = chunks(*number, reading.from, reading.to);
        let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(sql::CHUNKS_OLDEST_FIRST)
            .bind(*range.start())
            .bind(*range.end())
            .fetch(&mut *snapshot);
        while let Some((_, block)) = rows.try_next().await.map_err(failed(doing))? {
            unpacked(&block, |_| Some(reading.series.clone()), &mut found)?;
        }
        found.retain(|sample| reading.takes(sample));
        reading.samples.append(&mut found);
    }
    let Some(through) = readings.values().map(|reading| reading.through).min() else {
        return Ok(());
    };
    let from = readings.values().map(|reading| reading.from).min();
    let to = readings.values().map(|reading| reading.to).max();
    let by_name: BTreeMap<ProbeId, SeriesNumber> = readings
        .iter()
        .map(|(number, reading)| (reading.series.clone(), *number))
        .collect();
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(sql::SEGMENTS_WITH)
        .bind(through)
        .bind(from.map_or(i64::MIN, Timestamp::as_micros))
        .bind(to.map_or(i64::MAX, Timestamp::as_micros))
        .fetch(&mut *snapshot);
    while let Some((id, block)) = rows.try_next().await.map_err(failed(doing))? {
        let wanted = |number| {
            let reading: Option<&Reading> = readings.get(&number);
            let live = reading.filter(|reading| reading.through < id);
            live.map(|reading| reading.series.clone())
        };
        unpacked(&block, wanted, &mut found)?;
        for sample in found.drain(..) {
            let number = by_name.get(&sample.series);
            if let Some(reading) = number.and_then(|number| readings.get_mut(number))
                && reading.takes(&sample)
            {
                reading.samples.push(sample);
            }
        }
    }
    for reading in readings.values_mut() {
        reading.samples.sort_by_key(|sample| sample.span.to);
    }
    Ok(())
}

/// The images that may serve any of the needs, by series.
async fn images(
    snapshot: &mut SqliteConnection,
    needs: &[Need],
) -> Result<BTreeMap<ProbeId, Image>, StoreError> {
    let from = needs.iter().map(|need| need.until - need.span).min();
    let to = needs.iter().map(|need| need.until).max();
    let (Some(from), Some(to)) = (from, to) else {
        return Ok(BTreeMap::new());
    };
    let rows: Vec<(String, String, i64, Vec<u8>)> = sqlx::query_as(sql::IMAGES)
        .bind(from.as_micros())
        .bind(to.as_micros())
        .fetch_all(snapshot)
        .await
        .map_err(failed("read images"))?;
    let mut images = BTreeMap::new();
    for (name, shape, at, bytes) in rows {
        let series = probe(&name)?;
        let image = Image {
            series: series.clone(),
            shape: shape.parse().map_err(|why| corrupt("image", why))?,
            at: Timestamp::from_micros(at),
            bytes: bytes.into(),
        };
        images.insert(series, image);
    }
    Ok(images)
}

/// Segments from the oldest on, until their blocks have this many bytes together (at least one).
pub(super) async fn oldest_segments(
    readers: &SqlitePool,
    bytes_max: usize,
) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let doing = "read segments";
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(sql::ALL_SEGMENTS).fetch(readers);
    let mut segments: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut bytes = 0;
    while let Some(segment) = rows.try_next().await.map_err(failed(doing))? {
        bytes += segment.1.len();
        segments.push(segment);
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(segments)
}

/// The range of a series' chunks before an hour.
pub(super) fn chunks_before(series: SeriesNumber, hour: i64) -> (i64, i64) {
    (chunk_id(series, 0), chunk_id(series, hour))
}
