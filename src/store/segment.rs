//! Samples, packed.
//!
//! A batch of samples is one *segment*, and the past of one series is a row of *chunks*: the same
//! encoding, of many series or of one. A look takes about five bytes at rest.
//!
//! ```text
//! block  = 1 (the version) base text_count { length bytes } { run }
//! run    = series byte_length { sample }           (so that foreign series are skipped, not read)
//! sample = time [head] [span] reading              (all numbers are LEB128, signed ones zigzag)
//! time   = difference of the difference of `to`, with a bit that says "the head is that of the last"
//! ```
//!
//! What looks repeat is written as what changed: the interval between looks, the latency, the bits of a
//! value. Texts (pods, sources, what was wrong) stand once a block. Latencies are kept to the
//! microsecond; instants are exact within ten thousand years of the epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::id::{Name, ProbeId};
use crate::domain::sample::{Blind, Reading, Sample, Split, Tally};
use crate::domain::time::{Span, Timestamp};
use crate::domain::value::Value;

/// The first byte of every block; another encoding gets another.
const VERSION: u8 = 1;

/// The number that stands for a series in blocks.
pub type SeriesNumber = u64;

/// The bytes are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpackable {
    /// They end in the middle of something.
    #[error("it ends too early")]
    Short,
    /// It was written by another version.
    #[error("it is of version {0}")]
    Version(u8),
    /// A value that cannot be.
    #[error("it holds no valid {0}")]
    Invalid(&'static str),
}

mod kind {
    pub const LOOK: u8 = 0;
    pub const COUNTS: u8 = 1;
    pub const VOID: u8 = 2;
    pub const MASK: u8 = 0b11;
}

/// A look was good.
const GOOD: u8 = 1 << 2;
/// A look has a latency.
const LATENCY: u8 = 1 << 3;
/// A look has a value.
const VALUE: u8 = 1 << 4;
/// A look says why.
const WHY: u8 = 1 << 5;
/// Counts have parts.
const PARTS: u8 = 1 << 2;
/// Where the number of the shut eye stands.
const EYE_SHIFT: u8 = 2;
/// The span begins where that of the last sample of the series ended.
const FOLLOWS: u8 = 1 << 6;
/// The span has a length, which is written.
const LENGTH: u8 = 1 << 7;

/// What the next sample of a run is told apart from.
#[derive(Clone, Copy, Default)]
struct Last {
    to: i64,
    step: i64,
    head: Option<u8>,
    latency: i64,
    value: u64,
}

impl Last {
    const fn at(base: i64) -> Self {
        Self {
            to: base,
            step: 0,
            head: None,
            latency: 0,
            value: 0,
        }
    }
}

/// Packs samples: those of each series in the order in which they are given.
#[must_use]
pub fn pack<'a>(samples: impl IntoIterator<Item = (SeriesNumber, &'a Sample)>) -> Vec<u8> {
    let mut runs: BTreeMap<SeriesNumber, Vec<&Sample>> = BTreeMap::new();
    for (series, sample) in samples {
        runs.entry(series).or_default().push(sample);
    }
    let base = runs
        .values()
        .flatten()
        .map(|sample| sample.span.to.as_micros())
        .min()
        .unwrap_or(0);
    let mut texts = Texts::default();
    let mut body = Vec::new();
    let mut run = Vec::new();
    for (series, samples) in runs {
        run.clear();
        let mut last = Last::at(base);
        for sample in samples {
            pack_sample(&mut run, sample, &mut last, &mut texts);
        }
        number(&mut body, series);
        number(&mut body, run.len() as u64);
        body.extend_from_slice(&run);
    }
    let mut block = vec![VERSION];
    signed(&mut block, base);
    number(&mut block, texts.list.len() as u64);
    for text in &texts.list {
        number(&mut block, text.len() as u64);
        block.extend_from_slice(text.as_bytes());
    }
    block.extend_from_slice(&body);
    block
}

/// Unpacks the samples of the series that `wanted` knows, in the order in which they were packed.
///
/// # Errors
/// If the bytes are no block; what was read until then stays in `out`.
pub fn unpack(
    block: &[u8],
    mut wanted: impl FnMut(SeriesNumber) -> Option<ProbeId>,
    out: &mut Vec<Sample>,
) -> Result<(), Unpackable> {
    let mut bytes = Bytes(block);
    let version = bytes.byte()?;
    if version != VERSION {
        return Err(Unpackable::Version(version));
    }
    let base = bytes.signed()?;
    let count = bytes.length()?;
    let mut texts = Vec::new();
    for _ in 0..count {
        let length = bytes.length()?;
        let text = std::str::from_utf8(bytes.take(length)?);
        texts.push(Arc::<str>::from(
            text.map_err(|_| Unpackable::Invalid("text"))?,
        ));
    }
    while !bytes.0.is_empty() {
        let series = bytes.number()?;
        let length = bytes.length()?;
        let mut run = Bytes(bytes.take(length)?);
        let Some(series) = wanted(series) else {
            continue;
        };
        let mut last = Last::at(base);
        while !run.0.is_empty() {
            let (span, reading) = unpack_sample(&mut run, &mut last, &texts)?;
            out.push(Sample {
                series: series.clone(),
                span,
                reading,
            });
        }
    }
    Ok(())
}

fn pack_sample<'a>(out: &mut Vec<u8>, sample: &'a Sample, last: &mut Last, texts: &mut Texts<'a>) {
    let Sample {
        series: _,
        span,
        reading,
    } = sample;
    let (from, to) = (span.from.as_micros(), span.to.as_micros());
    let mut head = head_of(reading);
    if from != to {
        head |= if from == last.to { FOLLOWS } else { LENGTH };
    }
    let step = to.wrapping_sub(last.to);
    let same = last.head == Some(head);
    let time = zigzag(step.wrapping_sub(last.step));
    number(out, time << 1 | u64::from(same));
    if !same {
        out.push(head);
    }
    if head & LENGTH != 0 {
        signed(out, to.wrapping_sub(from));
    }
    (last.to, last.step, last.head) = (to, step, Some(head));
    match reading {
        Reading::Look {
            good: _,
            latency,
            value,
            why,
        } => {
            if let Some(latency) = latency {
                let micros = i64::try_from(latency.as_micros()).unwrap_or(i64::MAX);
                signed(out, micros.wrapping_sub(last.latency));
                last.latency = micros;
            }
            if let Some(value) = value {
                let bits = value.get().to_bits();
                number(out, (bits ^ last.value).swap_bytes());
                last.value = bits;
            }
            if let Some(why) = why {
                number(out, texts.place(why));
            }
        }
        Reading::Counts(Split { total, by_pod }) => {
            tally(out, *total);
            if head & PARTS != 0 {
                number(out, by_pod.len() as u64);
                for (pod, part) in by_pod.iter() {
                    number(out, texts.place(pod));
                    tally(out, *part);
                }
            }
        }
        Reading::Void(Blind::Source(name)) => number(out, texts.place(name.as_str())),
        Reading::Void(_) => {}
    }
}

fn head_of(reading: &Reading) -> u8 {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    match reading {
        Reading::Look {
            good,
            latency,
            value,
            why,
        } => {
            kind::LOOK
                | flag(*good, GOOD)
                | flag(latency.is_some(), LATENCY)
                | flag(value.is_some(), VALUE)
                | flag(why.is_some(), WHY)
        }
        Reading::Counts(Split { by_pod, .. }) => kind::COUNTS | flag(!by_pod.is_empty(), PARTS),
        Reading::Void(blind) => {
            let eye = match blind {
                Blind::Source(_) => 0,
                Blind::Network => 1,
                Blind::Resolver => 2,
                Blind::Local => 3,
                Blind::Empty => 4,
            };
            kind::VOID | eye << EYE_SHIFT
        }
    }
}

fn unpack_sample(
    run: &mut Bytes<'_>,
    last: &mut Last,
    texts: &[Arc<str>],
) -> Result<(Span, Reading), Unpackable> {
    let time = run.number()?;
    let step = last.step.wrapping_add(unzigzag(time >> 1));
    let to = last.to.wrapping_add(step);
    let head = match (time & 1, last.head) {
        (1, Some(head)) => head,
        (1, None) => return Err(Unpackable::Invalid("head")),
        (_, _) => run.byte()?,
    };
    let from = if head & LENGTH != 0 {
        to.wrapping_sub(run.signed()?)
    } else if head & FOLLOWS != 0 {
        last.to
    } else {
        to
    };
    (last.to, last.step, last.head) = (to, step, Some(head));
    let span = Span {
        from: Timestamp::from_micros(from),
        to: Timestamp::from_micros(to),
    };
    let text = |place: usize| {
        let text = texts.get(place).cloned();
        text.ok_or(Unpackable::Invalid("place of a text"))
    };
    let reading = match head & kind::MASK {
        kind::LOOK => unpack_look(run, head, last, text)?,
        kind::COUNTS => {
            let total = run.tally()?;
            let mut parts = Vec::new();
            if head & PARTS != 0 {
                for _ in 0..run.length()? {
                    parts.push((text(run.length()?)?, run.tally()?));
                }
            }
            Reading::Counts(Split {
                total,
                by_pod: parts.into(),
            })
        }
        kind::VOID => Reading::Void(match (head & !FOLLOWS & !LENGTH) >> EYE_SHIFT {
            0 => {
                let name = Name::try_new(&text(run.length()?)?);
                Blind::Source(name.map_err(|_| Unpackable::Invalid("source"))?)
            }
            1 => Blind::Network,
            2 => Blind::Resolver,
            3 => Blind::Local,
            4 => Blind::Empty,
            _ => return Err(Unpackable::Invalid("eye")),
        }),
        _ => return Err(Unpackable::Invalid("kind of reading")),
    };
    Ok((span, reading))
}

fn unpack_look(
    run: &mut Bytes<'_>,
    head: u8,
    last: &mut Last,
    text: impl Fn(usize) -> Result<Arc<str>, Unpackable>,
) -> Result<Reading, Unpackable> {
    let mut latency = None;
    if head & LATENCY != 0 {
        last.latency = last.latency.wrapping_add(run.signed()?);
        let micros = u64::try_from(last.latency).map_err(|_| Unpackable::Invalid("latency"))?;
        latency = Some(Duration::from_micros(micros));
    }
    let mut value = None;
    if head & VALUE != 0 {
        last.value ^= run.number()?.swap_bytes();
        let number = Value::try_new(f64::from_bits(last.value));
        value = Some(number.map_err(|_| Unpackable::Invalid("value"))?);
    }
    let why = if head & WHY != 0 {
        Some(text(run.length()?)?)
    } else {
        None
    };
    Ok(Reading::Look {
        good: head & GOOD != 0,
        latency,
        value,
        why,
    })
}

/// The texts of a block, each once.
#[derive(Default)]
struct Texts<'a> {
    list: Vec<&'a str>,
    places: BTreeMap<&'a str, u64>,
}

impl<'a> Texts<'a> {
    fn place(&mut self, text: &'a str) -> u64 {
        let Self { list, places } = self;
        *places.entry(text).or_insert_with(|| {
            list.push(text);
            list.len() as u64 - 1
        })
    }
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, zigzag(value));
}

fn tally(out: &mut Vec<u8>, Tally { good, bad }: Tally) {
    number(out, good);
    number(out, bad);
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Result<u8, Unpackable> {
        let (first, rest) = self.0.split_first().ok_or(Unpackable::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unpackable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unpackable::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Unpackable> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unpackable::Invalid("number"))
    }

    fn signed(&mut self) -> Result<i64, Unpackable> {
        self.number().map(unzigzag)
    }

    fn length(&mut self) -> Result<usize, Unpackable> {
        usize::try_from(self.number()?).map_err(|_| Unpackable::Invalid("length"))
    }

    fn tally(&mut self) -> Result<Tally, Unpackable> {
        Ok(Tally {
            good: self.number()?,
            bad: self.number()?,
        })
    }
}

#[cfg(test)]
mod tests;
