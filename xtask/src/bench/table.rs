//! The table: each figure, its goal, and whether it is met.

use super::Plan;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    /// It is there to compare with.
    None,
}

/// One figure.
#[derive(Debug)]
pub struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    goal: Goal,
    note: String,
}

// === impl Row ===

impl Row {
    pub fn new(what: &str, value: f64, unit: &'static str, goal: Goal, note: &str) -> Self {
        Self {
            what: what.to_owned(),
            value,
            unit,
            goal,
            note: note.to_owned(),
        }
    }
}

// === impl Goal ===

impl Goal {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(limit) => Some(value >= limit),
            Self::AtMost(limit) => Some(value <= limit),
            Self::Below(limit) => Some(value < limit),
            Self::None => None,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("≥ {}", number(limit)),
            Self::AtMost(limit) => format!("≤ {}", number(limit)),
            Self::Below(limit) => format!("< {}", number(limit)),
            Self::None => "–".to_owned(),
        }
    }
}

/// Three figures that matter.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || (size >= 10.0 && size.fract() == 0.0) {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// The document.
pub fn document(rows: &[Row], plan: &Plan, machine: &str) -> String {
    let mut text = String::from("# Performance\n\n");
    let missed = rows
        .iter()
        .filter(|row| row.goal.met(row.value) == Some(false))
        .count();
    let goals = rows.iter().filter(|row| row.goal != Goal::None).count();
    text.push_str(&format!(
        "Written by `cargo xtask bench`{} (profile `{}`), on {machine}. {} of {goals} goals are met.\n\n\
         CPU time and memory are the operating system's accounts of Holdfast's process alone; targets and\n\
         receivers are processes of their own on the same machine. A ratio says more than a rate: the bare loop\n\
         of requests ran on the same machine in the same run.\n\n\
         | figure | measured | goal | | how |\n|---|---|---|---|---|\n",
        if plan.quick { " --quick" } else { "" },
        plan.profile,
        goals - missed,
    ));
    for row in rows {
        let mark = match row.goal.met(row.value) {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        text.push_str(&format!(
            "| {} | {} | {} | {mark} | {} |\n",
            row.what,
            format!("{} {}", number(row.value), row.unit).trim(),
            format!(
                "{} {}",
                row.goal.shown(),
                if row.goal == Goal::None { "" } else { row.unit }
            )
            .trim(),
            row.note,
        ));
    }
    text
}

/// The machine, in a few words.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("an unknown processor", |rest| {
        rest.trim_start_matches([' ', '\t', ':'])
    });
    format!("{cpus} × {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_marked_and_counted() {
        let plan = Plan {
            quick: false,
            profile: "release".to_owned(),
        };
        let rows = [
            Row::new("speed", 120.0, "/s", Goal::AtLeast(100.0), "fast"),
            Row::new("size", 31.5, "MiB", Goal::Below(30.0), "large"),
            Row::new("best", 1.0, "", Goal::None, ""),
        ];
        let text = document(&rows, &plan, "a machine");
        assert!(text.contains("1 of 2 goals are met"), "{text}");
        assert!(
            text.contains("| size | 31.5 MiB | < 30 MiB | **missed** | large |"),
            "{text}"
        );
        assert!(
            text.contains("| speed | 120 /s | ≥ 100 /s | met | fast |"),
            "{text}"
        );
        assert!(text.contains("| best | 1 | – |  |  |"), "{text}");
    }
}
