//! Stories of samples.

use super::{Place, commit, fixture, keep, seen};
use crate::domain::change::Change;
use crate::domain::sample::Sample;
use crate::domain::time::Span;
use crate::store::SampleQuery;
use crate::wire::fixture::at;

pub async fn a_needed_history_is_the_image_and_what_came_after_it(place: Place) {
    let store = place.open().await;
    let mut changes = keep("api", (0..100).map(|n| n * 10));
    changes.extend(keep("web", (0..100).map(|n| n * 10 + 1)));
    changes.push(Change::Image(fixture::image("api", "now", 500)));
    changes.push(Change::Image(fixture::image("web", "old", 500)));
    commit(&store, "samples", changes).await;
    let store = place.reopen(store).await;
    store.compact().await.unwrap();
    commit(&store, "more", keep("api", [1000])).await;
    let needs = [
        fixture::need("api", "now", 900, 1000),
        fixture::need("web", "now", 300, 991),
        // The image is older than the span that is asked for: the samples say all.
        fixture::need("api", "now", 100, 1000),
        fixture::need("nobody", "now", 100, 1000),
    ];
    let histories = store.histories(&needs).await.unwrap();
    let told: Vec<(bool, usize, i64, i64)> = histories
        .iter()
        .map(|history| {
            let seconds = |sample: Option<&Sample>| {
                sample.map_or(-1, |sample| (sample.span.to.since(at(0))).as_secs() as i64)
            };
            (
                history.image.is_some(),
                history.samples.len(),
                seconds(history.samples.first()),
                seconds(history.samples.last()),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (true, 50, 510, 1000),
            (false, 30, 701, 991),
            (false, 10, 910, 1000),
            (false, 0, -1, -1)
        ]
    );
    assert_eq!(histories[0].image, Some(fixture::image("api", "now", 500)));
    assert_eq!(histories[1].series.to_string(), "acme/web");
}

pub async fn samples_are_found_by_window_and_newest_first_when_limited(place: Place) {
    let store = place.open().await;
    for hour in 0..3_i64 {
        let mut changes = keep("api", (0..10).map(|n| hour * 3600 + n));
        changes.extend(keep("web", [hour * 3600]));
        commit(&store, &format!("hour {hour}"), changes).await;
        store.compact().await.unwrap();
    }
    commit(&store, "live", keep("api", [10_800, 10_801])).await;
    let store = place.reopen(store).await;
    assert_eq!(seen(&store, "api", -1, 20_000).await.len(), 32);
    // After `from`, up to and including `to`.
    let some = seen(&store, "api", 3600, 3603).await;
    assert_eq!(some, [3601, 3602, 3603].map(|n| fixture::sample("api", n)));
    assert_eq!(seen(&store, "nobody", -1, 20_000).await, []);
    let newest = SampleQuery {
        series: "acme/api".parse().unwrap(),
        from: at(-1),
        to: at(20_000),
        limit: 4,
    };
    let expected = [7208, 7209, 10_800, 10_801].map(|n| fixture::sample("api", n));
    assert_eq!(store.samples(&newest).await.unwrap(), expected);
}

pub async fn every_kind_of_sample_comes_back(place: Place) {
    let store = place.open().await;
    let samples: Vec<Sample> = (0..)
        .zip(fixture::readings())
        .map(|(second, reading)| Sample {
            series: "acme/api".parse().unwrap(),
            span: Span {
                from: at(second - second % 2),
                to: at(second),
            },
            reading,
        })
        .collect();
    let changes = samples.iter().cloned().map(Change::Keep).collect();
    commit(&store, "kinds", changes).await;
    let store = place.reopen(store).await;
    assert_eq!(seen(&store, "api", -1, 100).await, samples);
    store.compact().await.unwrap();
    assert_eq!(seen(&store, "api", -1, 100).await, samples);
}

pub async fn compaction_changes_no_answer(place: Place) {
    let store = place.open().await;
    let probes = ["a", "b", "c"];
    let mut expected = Vec::new();
    // Late ones, and hours that straddle compactions.
    for (round, seconds) in [(0, 0..40), (1, 35..80), (2, 75..90), (3, 10..12)] {
        let sample = |probe, n: i64| fixture::sample(probe, n * 100 + round);
        let samples = probes.iter().flat_map(|probe| {
            let of = |n| sample(probe, n);
            seconds.clone().map(of).collect::<Vec<_>>()
        });
        let samples: Vec<Sample> = samples.collect();
        expected.extend(samples.clone());
        let changes = samples.into_iter().map(Change::Keep).collect();
        commit(&store, &format!("round {round}"), changes).await;
        if round % 2 == 1 {
            store.compact().await.unwrap();
        }
    }
    let store = place.reopen(store).await;
    for probe in probes {
        let mut of: Vec<Sample> = expected
            .iter()
            .filter(|sample| sample.series.probe.as_str() == probe)
            .cloned()
            .collect();
        of.sort_by_key(|sample| sample.span.to);
        assert_eq!(seen(&store, probe, -1, 10_000).await, of);
    }
    store.compact().await.unwrap();
    assert_eq!(store.compact().await.unwrap(), 0, "nothing is left to do");
}
