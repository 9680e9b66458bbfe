//! The picture of what broke: a measured value over time, its limit, and where the rollout began.
//!
//! Plain SVG, styled by the page's stylesheet, so that it is right in the dark and in the light. All text
//! in it is made here from numbers and instants.

use std::fmt::Write as _;

use super::clock;
use crate::domain::alert::{Evidence, Point};
use crate::domain::objective::{Comparison, Unit};
use crate::domain::time::{Spelled, Timestamp};
use crate::domain::value::Value;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 28.0;

/// The limit as it was written in the condition's words (`above 10%`): the configuration may have changed
/// since, the evidence has not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    comparison: Comparison,
    value: f64,
    unit: Unit,
}

impl Limit {
    /// Reads a condition back; none: it is not one.
    pub(super) fn parse(condition: &str) -> Option<Self> {
        let (comparison, text) = [
            ("above ", Comparison::Above),
            ("below ", Comparison::Below),
            ("at least ", Comparison::AtLeast),
            ("at most ", Comparison::AtMost),
        ]
        .into_iter()
        .find_map(|(words, comparison)| Some((comparison, condition.strip_prefix(words)?)))?;
        let (value, unit) = if let Some(percent) = text.strip_suffix('%') {
            (percent.parse::<f64>().ok()? / 100.0, Unit::Ratio)
        } else if let Ok(number) = text.parse::<f64>() {
            (number, Unit::Number)
        } else {
            let Spelled(duration) = text.parse().ok()?;
            (duration.as_secs_f64(), Unit::Seconds)
        };
        value.is_finite().then_some(Self {
            comparison,
            value,
            unit,
        })
    }

    fn is_beyond(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Above => value > self.value,
            Comparison::Below => value < self.value,
            Comparison::AtLeast => value >= self.value,
            Comparison::AtMost => value <= self.value,
        }
    }
}

/// Where things are on the picture.
struct Scale {
    from: Timestamp,
    to: Timestamp,
    top: f64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let whole = self.to.since(self.from).as_secs_f64().max(1e-6);
        let part = at.since(self.from).as_secs_f64() / whole;
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value / self.top).clamp(0.0, 1.0);
        TOP + (1.0 - part) * (HEIGHT - TOP - BOTTOM)
    }
}

/// The picture; none if there are not two values to draw, or some are below zero.
pub(super) fn draw(evidence: &Evidence, began: Option<Timestamp>) -> Option<String> {
    let values: Vec<f64> = evidence
        .points
        .iter()
        .filter_map(|point| point.value.map(Value::get))
        .collect();
    if values.len() < 2 || values.iter().any(|value| *value < 0.0) {
        return None;
    }
    let limit = Limit::parse(&evidence.condition);
    let unit = limit.map_or(Unit::Number, |limit| limit.unit);
    let highest = values
        .iter()
        .copied()
        .chain(limit.map(|limit| limit.value))
        .fold(0.0, f64::max);
    let (first, last) = (evidence.points.first()?, evidence.points.last()?);
    let scale = Scale {
        from: began.map_or(first.at, |began| began.min(first.at)),
        to: last.at,
        top: if unit == Unit::Ratio {
            (highest * 1.15).min(1.0)
        } else {
            highest * 1.15
        }
        .max(1e-9),
    };
    // A rollout long before the first point would press everything into a corner: it is then only named.
    let shown = last.at.since(first.at);
    let near = began.filter(|began| first.at.since(*began) <= shown);
    let scale = Scale {
        from: near.map_or(first.at, |began| began.min(first.at)),
        ..scale
    };
    let mut svg = String::with_capacity(4096);
    open(&mut svg, evidence, unit, &values);
    axes(&mut svg, &scale, unit);
    if let Some(limit) = limit {
        limit_line(&mut svg, &scale, limit);
    }
    line(&mut svg, &scale, &evidence.points, limit);
    if let Some(began) = near {
        mark(&mut svg, &scale, began);
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// Writing into a `String` cannot fail.
macro_rules! put {
    ($svg:expr, $($part:tt)*) => {
        write!($svg, $($part)*).expect("a string takes all text")
    };
}

fn show(unit: Unit, number: f64) -> String {
    Value::try_new(number).map_or_else(|_| "?".to_owned(), |value| unit.show(value))
}

fn open(svg: &mut String, evidence: &Evidence, unit: Unit, values: &[f64]) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    let last = values.last().copied().unwrap_or_default();
    put!(
        svg,
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="The measured value over {} points: from {} to {}, last {}">"#,
        evidence.points.len(),
        show(unit, low),
        show(unit, high),
        show(unit, last),
    );
}

fn axes(svg: &mut String, scale: &Scale, unit: Unit) {
    for part in [0.0, 0.5, 1.0] {
        let value = scale.top * part;
        let y = scale.y(value);
        put!(
            svg,
            r#"<line class="grid-line" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            show(unit, round(value)),
        );
    }
    let middle = Timestamp::from_micros(
        scale.from.as_micros() + (scale.to.as_micros() - scale.from.as_micros()) / 2,
    );
    for (at, anchor) in [(scale.from, "start"), (middle, "middle"), (scale.to, "end")] {
        put!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            scale.x(at),
            HEIGHT - 6.0,
            clock(at),
        );
    }
}

/// Two significant digits: an axis is for the eye.
fn round(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    (value / unit).round() * unit
}

fn limit_line(svg: &mut String, scale: &Scale, limit: Limit) {
    let y = scale.y(limit.value);
    let (from, to) = match limit.comparison {
        Comparison::Above | Comparison::AtLeast => (TOP, y),
        Comparison::Below | Comparison::AtMost => (y, HEIGHT - BOTTOM),
    };
    put!(
        svg,
        r#"<rect class="beyond" x="{LEFT}" y="{from:.1}" width="{:.1}" height="{:.1}"/><line class="limit" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="limit-text" x="{:.1}" y="{:.1}" text-anchor="end">limit {}</text>"#,
        WIDTH - LEFT - RIGHT,
        (to - from).max(0.0),
        WIDTH - RIGHT,
        WIDTH - RIGHT - 4.0,
        y - 5.0,
        show(limit.unit, limit.value),
    );
}

/// One stroke for each row of points without a gap: where nothing was measured, nothing is drawn.
fn line(svg: &mut String, scale: &Scale, points: &[Point], limit: Option<Limit>) {
    for stroke in points.split(|point| point.value.is_none()) {
        if stroke.len() < 2 {
            continue;
        }
        svg.push_str(r#"<polyline class="line" points=""#);
        for point in stroke {
            if let Some(value) = point.value {
                put!(svg, "{:.1},{:.1} ", scale.x(point.at), scale.y(value.get()));
            }
        }
        svg.push_str(r#""/>"#);
    }
    for point in points {
        let Some(value) = point.value.map(Value::get) else {
            continue;
        };
        let beyond = limit.is_some_and(|limit| limit.is_beyond(value));
        put!(
            svg,
            r#"<circle class="dot{}" cx="{:.1}" cy="{:.1}" r="{}"/>"#,
            if beyond { " over" } else { "" },
            scale.x(point.at),
            scale.y(value),
            if beyond { 3.2 } else { 2.2 },
        );
    }
}

fn mark(svg: &mut String, scale: &Scale, began: Timestamp) {
    let x = scale.x(began);
    let (anchor, shift) = if x > WIDTH / 2.0 {
        ("end", -5.0)
    } else {
        ("start", 5.0)
    };
    put!(
        svg,
        r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{:.1}"/><text class="mark-text" x="{:.1}" y="{:.1}" text-anchor="{anchor}">rollout began {}</text>"#,
        TOP - 8.0,
        HEIGHT - BOTTOM,
        x + shift,
        TOP - 9.0,
        clock(began),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_back_from_the_words_of_their_condition() {
        let read = |text: &str| Limit::parse(text).map(|limit| (limit.value, limit.unit));
        assert_eq!(read("above 10%"), Some((0.1, Unit::Ratio)));
        assert_eq!(read("at least 3"), Some((3.0, Unit::Number)));
        assert_eq!(read("above 1s500ms"), Some((1.5, Unit::Seconds)));
        for text in ["", "above", "above NaN", "above <b>", "10%", "at most inf"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn axis_numbers_have_two_digits() {
        assert_eq!(show(Unit::Ratio, round(0.227_3)), "23%");
        assert_eq!(show(Unit::Ratio, round(0.0)), "0%");
        assert_eq!(show(Unit::Number, round(117.0)), "120");
    }
}
