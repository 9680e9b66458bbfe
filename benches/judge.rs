//! What judging costs: one sample of one of 5 000 series through the judge, with the objectives that read it.
//!
//! `cargo bench --bench judge`; no store, no clock: the machine as the daemon's driver steps it.

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use holdfast::domain::change::{Change, Changes};
use holdfast::domain::event::{JudgeEvent, Machine as _};
use holdfast::domain::id::ProbeId;
use holdfast::domain::judge::{Judge, Restored};
use holdfast::domain::need::History;
use holdfast::domain::sample::{Reading, Sample};
use holdfast::domain::time::{Span, Timestamp};

/// Probes, over tenants as they come: the plan is shared, the series are not.
const TENANTS: usize = 100;
const PROBES: usize = 50;
const START: Timestamp = Timestamp::from_secs(1_767_603_600);
const EVERY: Duration = Duration::from_secs(30);

fn main() {
    divan::main();
}

/// A judge with every series read back, and the names of the series.
fn judge(objectives: &str) -> (Judge, Vec<ProbeId>) {
    let probes: String = (0..PROBES)
        .map(|probe| format!("      p{probe}: {{ http: {{ url: \"http://127.0.0.1:1/\" }} }}\n"))
        .collect();
    let names: Vec<String> = (0..PROBES).map(|probe| format!("p{probe}")).collect();
    let names = names.join(", ");
    let objectives = objectives.replace("PROBES", &format!("probes: [{names}]"));
    let tenants: String = (0..TENANTS)
        .map(|tenant| format!("  t{tenant}: {{ plan: watched }}\n"))
        .collect();
    let text = format!(
        "plans:\n  watched:\n    probes:\n{probes}    objectives:\n{objectives}tenants:\n{tenants}"
    );
    let spec = holdfast::config::load_text("bench.yaml", &text)
        .map_err(|report| holdfast::config::report::human(&report.faults, &report.lints))
        .expect("the benchmark's own configuration is valid")
        .spec;
    let mut judge = Judge::new(Restored::default());
    let mut out = Changes::default();
    judge.step(&JudgeEvent::Spec(spec), START, &mut out);
    let mut series = Vec::new();
    for change in std::mem::take(&mut out.list) {
        if let Change::Need(need) = change {
            let history = History {
                series: need.series.clone(),
                image: None,
                samples: [].into(),
            };
            judge.step(&JudgeEvent::History(history), START, &mut out);
            series.push(need.series);
        }
    }
    assert_eq!(series.len(), TENANTS * PROBES);
    (judge, series)
}

/// A round of samples: one of each series; one look in a thousand is bad.
fn round(series: &[ProbeId], number: u32) -> Vec<(JudgeEvent, Timestamp)> {
    let begin = START + EVERY * number;
    let step = EVERY / u32::try_from(series.len()).unwrap_or(u32::MAX);
    (1..)
        .zip(series)
        .map(|(place, series)| {
            let at = begin + step * place;
            let sample = Sample {
                series: series.clone(),
                span: Span::at(at),
                reading: Reading::Look {
                    good: !(place + number).is_multiple_of(1_000),
                    latency: Some(Duration::from_micros(u64::from(place * 7 % 9_000 + 1_000))),
                    value: None,
                    why: None,
                },
            };
            (JudgeEvent::Sample(sample), at)
        })
        .collect()
}

fn through(bencher: Bencher<'_, '_>, objectives: &str) {
    let (mut judge, series) = judge(objectives);
    let mut number = 0;
    let mut out = Changes::default();
    bencher
        .counter(ItemsCount::new(series.len()))
        .with_inputs(|| {
            number += 1;
            round(&series, number)
        })
        .bench_local_refs(|events| {
            for (event, at) in events {
                judge.step(event, *at, &mut out);
                out.list.clear();
            }
        });
}

/// Availability and a row of failures on each series.
#[divan::bench]
fn counts(bencher: Bencher<'_, '_>) {
    through(
        bencher,
        "      up: { PROBES, measure: availability, over: 30m, critical: below 60%, warning: below 90% }
      row: { PROBES, measure: consecutive_failures, critical: at least 3 }\n",
    );
}

/// The same, and a quantile over a quarter of an hour.
#[divan::bench]
fn counts_and_a_quantile(bencher: Bencher<'_, '_>) {
    through(
        bencher,
        "      up: { PROBES, measure: availability, over: 30m, critical: below 60%, warning: below 90% }
      row: { PROBES, measure: consecutive_failures, critical: at least 3 }
      slow: { PROBES, measure: p95, over: 15m, warning: above 1s }\n",
    );
}
