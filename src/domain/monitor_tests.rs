//! The clocks of a monitor: what moves it, and above all what must not.

use super::super::id::ProbeId;
use super::super::objective::{Comparison, Condition, Unit};
use super::super::sample::{Blind, Reading, Sample, Split};
use super::super::series::Shape;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(10_000 + second)
}

fn above(per_cent: u64) -> Condition {
    Condition {
        comparison: Comparison::Above,
        limit: Value::ratio(per_cent, 100).unwrap(),
        unit: Unit::Ratio,
    }
}

fn objective(change: impl FnOnce(&mut Objective)) -> Arc<Objective> {
    let mut objective = Objective {
        key: "acme/errors/traffic".parse().unwrap(),
        measure: Measure::ErrorRatio,
        over: SECOND * 5,
        levels: vec![
            (Severity::Critical, above(50)),
            (Severity::Warning, above(10)),
        ],
        wait: Duration::ZERO,
        keep_firing: Duration::ZERO,
        recover: None,
        samples_min: 1,
        no_data: NoData::Keep,
        no_data_after: SECOND * 10,
        rollback: false,
        runbook: None,
        summary: None,
        labels: Arc::default(),
    };
    change(&mut objective);
    Arc::new(objective)
}

/// A monitor with its series, fed a look a second.
struct Watch {
    monitor: Monitor,
    series: Series,
    second: i64,
    moves: Vec<String>,
}

impl Watch {
    fn begin(objective: &Arc<Objective>) -> Self {
        let shape = Shape {
            counts: vec![objective.over],
            quantiles: Vec::new(),
            every: SECOND,
        };
        Self {
            monitor: Monitor::new(objective.clone(), at(0)),
            series: Series::new(&shape),
            second: 0,
            moves: Vec::new(),
        }
    }

    fn take(&mut self, seconds: i64, reading: &Reading) {
        for _ in 0..seconds {
            self.second += 1;
            let series: ProbeId = "acme/traffic".parse().unwrap();
            let span = Span::at(at(self.second));
            self.series.record(&Sample {
                series,
                span,
                reading: reading.clone(),
            });
            self.judge();
        }
    }

    fn judge(&mut self) {
        let moved = self.monitor.evaluate(&mut self.series, at(self.second));
        if let Some(moved) = moved.transition {
            let (from, to) = (moved.from.as_str(), moved.to.as_str());
            self.moves
                .push(format!("{} {from} -> {to} {}", self.second, moved.severity));
        }
    }

    fn bad(&mut self, seconds: i64, bad: u64) {
        self.take(
            seconds,
            &Reading::Counts(Split::whole(Tally {
                good: 100 - bad,
                bad,
            })),
        );
    }

    fn blind(&mut self, seconds: i64) {
        self.take(seconds, &Reading::Void(Blind::Network));
    }

    /// Nothing comes at all.
    fn silence(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            self.judge();
        }
    }
}

#[test]
fn a_breach_fires_at_the_first_evaluation_at_or_after_for() {
    let mut watch = Watch::begin(&objective(|o| o.wait = SECOND * 3));
    watch.bad(5, 0);
    watch.bad(8, 100);
    assert_eq!(
        watch.moves,
        [
            "6 inactive -> pending warning",
            "9 pending -> firing warning",
            "11 firing -> firing critical"
        ],
        "each level has a clock of its own: critical held from the eighth second"
    );
}

#[test]
fn a_breach_that_is_shorter_than_for_fires_nothing() {
    let mut watch = Watch::begin(&objective(|o| {
        o.wait = SECOND * 8;
        o.over = SECOND;
    }));
    watch.bad(3, 20);
    watch.bad(5, 0);
    assert_eq!(
        watch.moves,
        [
            "1 inactive -> pending warning",
            "4 pending -> inactive warning"
        ]
    );
}

#[test]
fn a_blind_minute_makes_a_breach_not_a_minute_older() {
    let mut watch = Watch::begin(&objective(|o| o.wait = SECOND * 5));
    watch.bad(3, 20);
    watch.blind(60);
    assert_eq!(watch.moves, ["1 inactive -> pending warning"]);
    watch.bad(2, 20);
    assert_eq!(
        watch.moves.len(),
        1,
        "three seconds before and one after are not five"
    );
    watch.bad(2, 20);
    assert_eq!(watch.moves.len(), 2);
}

#[test]
fn blindness_neither_resolves_nor_forgets() {
    let mut watch = Watch::begin(&objective(|_| {}));
    watch.bad(3, 20);
    watch.blind(300);
    assert_eq!(watch.monitor.state(), AlertState::Firing);
    watch.bad(10, 0);
    assert_eq!(watch.monitor.state(), AlertState::Inactive);
}

#[test]
fn a_recovered_alert_goes_on_firing_for_keep_firing_for_and_a_relapse_is_the_same_episode() {
    let mut watch = Watch::begin(&objective(|o| {
        o.keep_firing = SECOND * 5;
        o.over = SECOND;
    }));
    watch.bad(2, 20);
    let episode = watch.monitor.alert();
    watch.bad(4, 0);
    watch.bad(2, 20);
    assert_eq!(watch.monitor.alert(), episode);
    watch.bad(12, 0);
    assert_eq!(
        watch.moves,
        [
            "1 inactive -> firing warning",
            "14 firing -> resolved warning"
        ]
    );
}

#[test]
fn with_a_condition_for_recovery_a_value_in_between_changes_nothing() {
    let mut watch = Watch::begin(&objective(|o| {
        o.over = SECOND;
        o.recover = Some(Condition {
            comparison: Comparison::Below,
            ..above(2)
        });
    }));
    watch.bad(3, 60);
    watch.bad(20, 5);
    assert_eq!(watch.monitor.state(), AlertState::Firing);
    assert_eq!(
        watch.monitor.severity(),
        Severity::Critical,
        "it does not flap below its severity"
    );
    watch.bad(3, 0);
    assert_eq!(watch.moves.len(), 2);
}

#[test]
fn too_few_events_are_no_verdict() {
    let mut watch = Watch::begin(&objective(|o| o.samples_min = 1_000));
    watch.bad(5, 100);
    assert_eq!(watch.moves, Vec::<String>::new());
    assert_eq!(
        watch.monitor.verdict(),
        Verdict::Inconclusive(Doubt::TooFewSamples)
    );
}

#[test]
fn a_long_silence_is_an_alert_only_if_the_objective_says_so() {
    let mut keep = Watch::begin(&objective(|_| {}));
    keep.bad(3, 0);
    keep.silence(600);
    assert_eq!(keep.moves, Vec::<String>::new());
    let mut raise = Watch::begin(&objective(|o| o.no_data = NoData::Raise(Severity::Warning)));
    raise.bad(3, 0);
    raise.silence(30);
    raise.bad(6, 0);
    assert_eq!(
        raise.moves,
        [
            "13 inactive -> firing warning",
            "34 firing -> resolved warning"
        ]
    );
}

#[test]
fn after_a_restart_the_clock_of_for_goes_on_and_the_time_between_does_not_count() {
    let objective = objective(|o| o.wait = SECOND * 10);
    let mut before = Watch::begin(&objective);
    before.bad(6, 20);
    let phase = before.monitor.phase(at(6));
    let mut after = Watch::begin(&objective);
    after.series = before.series.clone();
    after.second = 106;
    after.monitor = Monitor::restore(objective, &phase, at(106));
    after.monitor.resume(&after.series, at(106));
    after.bad(4, 20);
    assert_eq!(after.moves, Vec::<String>::new());
    after.bad(2, 20);
    assert_eq!(after.moves, ["111 pending -> firing warning"]);
    assert_eq!(
        after.monitor.began(),
        before.monitor.began(),
        "it is the same episode"
    );
}

#[test]
fn what_a_person_resolved_is_a_new_episode_if_it_breaks_again() {
    let mut watch = Watch::begin(&objective(|o| o.over = SECOND));
    watch.bad(2, 20);
    let first = watch.monitor.alert();
    let ended = watch.monitor.end(Cause::Person, &mut watch.series, at(2));
    assert_eq!(ended.transition.unwrap().to, AlertState::Resolved);
    watch.bad(1, 20);
    assert_ne!(watch.monitor.alert(), first);
    assert!(watch.monitor.alert().is_some());
}
