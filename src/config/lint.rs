//! What is allowed but probably not meant.

use super::objective::counted;
use super::read::Fields;
use super::sink::Note;
use crate::domain::objective::{Condition, Measure, Objective, Severity};
use crate::domain::target::Probe;
use crate::domain::time::Spelled;
use crate::domain::value::Value;

/// Lints of one objective on one probe.
pub(super) fn objective(fields: &Fields<'_>, objective: &Objective, probe: &Probe) {
    if !objective.wait.is_zero() && objective.wait < probe.every {
        let place = fields
            .entry("for")
            .map_or(fields.place, |entry| entry.value.place);
        let message = format!(
            "`for: {}` is shorter than the probe's `every: {}`, so it waits for nothing",
            Spelled(objective.wait),
            Spelled(probe.every)
        );
        fields
            .sink()
            .note(Note::lint("for-below-every", place, message));
    }
    let Some(critical) = objective.condition(Severity::Critical) else {
        return;
    };
    if let Some(hint) = single_sample(objective, probe, critical) {
        let place = fields
            .entry("critical")
            .map_or(fields.place, |entry| entry.value.place);
        let message = format!("one sample alone can breach `critical: {critical}`");
        fields
            .sink()
            .note(Note::lint("single-sample", place, message).hint(hint));
    }
}

/// Whether one bad event among the fewest that count is a critical breach, and what would help.
fn single_sample(objective: &Objective, probe: &Probe, critical: Condition) -> Option<String> {
    let count = objective.samples_min;
    if objective.measure.windowed() && objective.wait >= objective.over {
        return None;
    }
    let looks = objective.over.as_nanos() / probe.every.as_nanos().max(1);
    let more = |enough: u64| {
        if counted(&probe.target) || u128::from(enough) <= looks {
            format!("`min_samples: {enough}` or more, or a longer `for`")
        } else {
            format!(
                "the window holds {looks} looks; let it hold {enough} or more, or set a longer `for`"
            )
        }
    };
    match objective.measure {
        Measure::ErrorRatio => critical
            .holds(Value::ratio(1, count)?)
            .then(|| more(enough(critical, |count| Value::ratio(1, count)))),
        Measure::Availability => critical
            .holds(Value::ratio(count.saturating_sub(1), count)?)
            .then(|| more(enough(critical, |count| Value::ratio(count - 1, count)))),
        Measure::Quantile(per_mille) => {
            // Nearest rank: the quantile of n looks is the slowest one while n is below 1000 / (1000 - q).
            let needed = 1000_u128.div_ceil(u128::from(1000 - per_mille.min(999)));
            (looks < needed && !counted(&probe.target)).then(|| {
                format!(
                    "of {looks} looks it is the slowest one; let the window hold {needed} or more"
                )
            })
        }
        Measure::ConsecutiveFailures => critical
            .holds(Value::whole(1))
            .then(|| "write `at least 2` or more".to_owned()),
        // A value is what it is; but a release is not blamed for a single reading of it.
        Measure::Value => {
            (objective.rollback && objective.wait.is_zero()).then(|| "give it a `for`".to_owned())
        }
    }
}

fn enough(critical: Condition, at: impl Fn(u64) -> Option<Value>) -> u64 {
    (1..100_000)
        .find(|count| at(*count).is_some_and(|value| !critical.holds(value)))
        .unwrap_or(100_000)
}
