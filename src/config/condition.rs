//! `above 5%` to a condition, and whether it can ever be true, or ever be false.

use std::time::Duration;

use super::quantity::Quantity;
use super::read::wrong;
use super::sink::{Note, Place, Sink};
use super::yaml::{Kind, Node};
use crate::domain::objective::{Comparison, Condition, Measure, Unit};
use crate::domain::time::Spelled;
use crate::domain::value::Value;

const WORDS: [(&str, Comparison); 4] = [
    ("above ", Comparison::Above),
    ("below ", Comparison::Below),
    ("at least ", Comparison::AtLeast),
    ("at most ", Comparison::AtMost),
];

/// Reads a condition on a measure. `slowest` is the longest latency that can be seen: the timeout.
pub(super) fn read(
    node: &Node,
    key: &str,
    measure: Measure,
    slowest: Option<Duration>,
    sink: &Sink,
) -> Option<Condition> {
    let (comparison, quantity) = parse(node, key, sink)?;
    let fault = |message: String, hint: &str| {
        sink.note(Note::fault("bad-condition", node.place, message).hint(hint));
        None
    };
    let (number, unit) = match (measure, quantity) {
        (Measure::Availability | Measure::ErrorRatio, Quantity::Ratio(number)) => {
            (number, Unit::Ratio)
        }
        (Measure::Availability | Measure::ErrorRatio, Quantity::Number(number)) => {
            if !(0.0..=1.0).contains(&number) {
                let hint = format!("did you mean `{number}%`?");
                return fault(
                    "a ratio is a number from 0 to 1, or in per cent".to_owned(),
                    &hint,
                );
            }
            (number, Unit::Ratio)
        }
        (Measure::Availability | Measure::ErrorRatio, _) => {
            return fault(
                format!("{} is a ratio", measure.name()),
                "write it like `5%` or `0.05`",
            );
        }
        (Measure::Quantile(_), Quantity::Duration(duration)) => {
            (duration.as_secs_f64(), Unit::Seconds)
        }
        (Measure::Quantile(_), other) => {
            let number = other.plain();
            let hint = format!("did you mean `{number}ms` or `{number}s`?");
            return fault(format!("{} is a duration", measure.name()), &hint);
        }
        (Measure::ConsecutiveFailures, Quantity::Number(number))
            if number >= 0.0 && number.fract() == 0.0 =>
        {
            (number, Unit::Number)
        }
        (Measure::ConsecutiveFailures, _) => {
            let message = "consecutive_failures is a whole number".to_owned();
            return fault(message, "write it like `at least 3`");
        }
        (Measure::Value, quantity) => (quantity.plain(), unit(quantity)),
    };
    let condition = Condition {
        comparison,
        limit: Value::try_new(number).ok()?,
        unit,
    };
    constant(&condition, measure, slowest, node.place, sink);
    Some(condition)
}

const fn unit(quantity: Quantity) -> Unit {
    match quantity {
        Quantity::Number(_) => Unit::Number,
        Quantity::Ratio(_) => Unit::Ratio,
        Quantity::Duration(_) => Unit::Seconds,
        Quantity::Size(_) => Unit::Bytes,
    }
}

fn parse(node: &Node, key: &str, sink: &Sink) -> Option<(Comparison, Quantity)> {
    let text = match &node.kind {
        Kind::Text(text) => text,
        Kind::Unknown => return None,
        Kind::Int(_) | Kind::Float(_) => {
            let message = format!("`{key}` is a condition, not a number");
            let note = Note::fault("wrong-type", node.place, message);
            sink.note(note.hint("write it like `above 5%` or `at least 3`"));
            return None;
        }
        _ => {
            wrong(node, key, "a condition such as `above 5%`", sink);
            return None;
        }
    };
    let found = WORDS
        .iter()
        .find_map(|(word, comparison)| Some((*comparison, text.trim().strip_prefix(word)?.trim())));
    let Some((comparison, limit)) = found else {
        let message = format!("`{key}` is a condition, not `{text}`");
        let note = Note::fault("bad-condition", node.place, message);
        sink.note(note.hint("it begins with above, below, at least or at most"));
        return None;
    };
    if limit.ends_with("baseline") {
        sink.note(Note::later("conditions relative to a baseline", node.place));
        return None;
    }
    let quantity = Quantity::parse(limit);
    if quantity.is_none() {
        let message = format!("`{limit}` is not a number, ratio, duration or size");
        let note = Note::fault("bad-condition", node.place, message);
        sink.note(note.hint("write 3, 5%, 250ms or 10Gi"));
    }
    Some((comparison, quantity?))
}

/// The smallest and the largest value a measure can have.
fn range(measure: Measure, slowest: Option<Duration>) -> (Option<Value>, Option<Value>) {
    let zero = Some(Value::whole(0));
    match measure {
        Measure::Availability | Measure::ErrorRatio => (zero, Some(Value::whole(1))),
        Measure::Quantile(_) => (zero, slowest.map(Value::seconds)),
        Measure::ConsecutiveFailures => (zero, None),
        Measure::Value => (None, None),
    }
}

fn constant(
    condition: &Condition,
    measure: Measure,
    slowest: Option<Duration>,
    place: Place,
    sink: &Sink,
) {
    let (least, most) = range(measure, slowest);
    let at = |bound: Option<Value>| bound.map(|bound| condition.holds(bound));
    let (never, always) = match condition.comparison {
        Comparison::Above | Comparison::AtLeast => {
            (at(most) == Some(false), at(least) == Some(true))
        }
        Comparison::Below | Comparison::AtMost => {
            // A row of failures is zero while all is well: being small is no breach.
            let healthy = measure == Measure::ConsecutiveFailures && at(least) == Some(true);
            (at(least) == Some(false), at(most) == Some(true) || healthy)
        }
    };
    let name = measure.name();
    let span = match (measure, slowest) {
        (Measure::Quantile(_), Some(slowest)) => {
            format!(
                "{name} is at most the probe's timeout, {}",
                Spelled(slowest)
            )
        }
        (Measure::Availability | Measure::ErrorRatio, _) => format!("{name} is from 0% to 100%"),
        _ => format!("{name} is never less than 0"),
    };
    if never {
        let message = format!("`{condition}` can never be true: {span}");
        sink.note(Note::fault("never-true", place, message));
    } else if always {
        let message = format!("`{condition}` is true even when all is well: {span}");
        sink.note(Note::fault("always-true", place, message));
    }
}
