//! What is packed is unpacked, and nothing panics.

use super::*;
use proptest::prelude::*;

fn series(number: SeriesNumber) -> ProbeId {
    format!("acme/probe-{number}").parse().unwrap()
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![Just("api-1"), Just("api-2"), Just(""), Just("größer")].prop_map(Arc::from)
}

fn some_tally() -> impl Strategy<Value = Tally> {
    (any::<u64>(), 0..9_u64).prop_map(|(good, bad)| Tally { good, bad })
}

fn reading() -> impl Strategy<Value = Reading> {
    let look = (
        any::<bool>(),
        prop::option::of(0..10_000_000_u64),
        prop::option::of(any::<f64>()),
        prop::option::of(text()),
    );
    let look = look.prop_map(|(good, latency, value, why)| Reading::Look {
        good,
        latency: latency.map(Duration::from_micros),
        value: value.and_then(|value| Value::try_new(value).ok()),
        why,
    });
    let parts = prop::collection::vec((text(), some_tally()), 0..4);
    let counts = (some_tally(), parts).prop_map(|(total, parts)| {
        Reading::Counts(Split {
            total,
            by_pod: parts.into(),
        })
    });
    let blind = prop_oneof![
        Just(Blind::Source(Name::literal("prometheus"))),
        Just(Blind::Network),
        Just(Blind::Resolver),
        Just(Blind::Local),
        Just(Blind::Empty),
    ];
    prop_oneof![look, counts, blind.prop_map(Reading::Void)]
}

/// Instants near each other, and far out.
fn instant() -> impl Strategy<Value = Timestamp> {
    const AGES: i64 = 10_000 * 366 * 86_400 * 1_000_000;
    prop_oneof![0..100_000_000_i64, -AGES..AGES].prop_map(Timestamp::from_micros)
}

fn sample() -> impl Strategy<Value = (SeriesNumber, Sample)> {
    let span = prop_oneof![
        instant().prop_map(Span::at),
        (instant(), instant()).prop_map(|(from, to)| Span { from, to }),
    ];
    (0..4_u64, span, reading()).prop_map(|(number, span, reading)| {
        let series = series(number);
        (
            number,
            Sample {
                series,
                span,
                reading,
            },
        )
    })
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(samples in prop::collection::vec(sample(), 0..40)) {
        let block = pack(samples.iter().map(|(number, sample)| (*number, sample)));
        let mut all = Vec::new();
        unpack(&block, |number| Some(series(number)), &mut all).unwrap();
        let mut expected = samples.clone();
        expected.sort_by_key(|(number, _)| *number);
        let expected: Vec<Sample> = expected.into_iter().map(|(_, sample)| sample).collect();
        prop_assert_eq!(&all, &expected);

        let mut one = Vec::new();
        unpack(&block, |number| (number == 2).then(|| series(2)), &mut one).unwrap();
        all.retain(|sample| sample.series == series(2));
        prop_assert_eq!(one, all);
    }

    #[test]
    fn no_bytes_make_it_panic(
        samples in prop::collection::vec(sample(), 0..10),
        cut in any::<prop::sample::Index>(),
        flip in any::<u8>(),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut block = pack(samples.iter().map(|(number, sample)| (*number, sample)));
        let place = cut.index(block.len());
        block[place] ^= flip;
        let mut out = Vec::new();
        let wanted = |number| Some(series(number % 9));
        for bytes in [&block[..], &block[..place], &noise] {
            if unpack(bytes, wanted, &mut out).is_err() {
                out.clear();
            }
        }
    }
}

#[test]
fn an_hour_of_looks_takes_about_five_bytes_a_look() {
    // Every 30 s, up to 1 ms off schedule, 8 to 24 ms of latency: a plain service.
    let mut state = 7_u64;
    let mut random = move |below: i64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        i64::try_from(state >> 33).unwrap() % below
    };
    let samples: Vec<Sample> = (0..120)
        .map(|look| Sample {
            series: series(1),
            span: Span::at(Timestamp::from_micros(look * 30_000_000 + random(1_000))),
            reading: Reading::Look {
                good: true,
                latency: Some(Duration::from_micros(8_000 + random(16_000).unsigned_abs())),
                value: None,
                why: None,
            },
        })
        .collect();
    let block = pack(samples.iter().map(|sample| (1, sample)));
    assert!(block.len() <= 120 * 5, "{} bytes", block.len());
}

#[test]
fn a_block_of_another_version_is_refused() {
    let mut out = Vec::new();
    let error = unpack(&[2, 0, 0], |_| None, &mut out).unwrap_err();
    assert_eq!(error, Unpackable::Version(2));
}
