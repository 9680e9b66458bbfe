//! What happened, line by line, and the sum at the end.

use std::process::ExitCode;

use crate::stopwatch::{Elapsed, Stopwatch};

/// How a stage or a part of the set-up ended. The text says what was found, or why not.
#[derive(Debug)]
pub enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

struct Line {
    name: String,
    outcome: Outcome,
    elapsed: Elapsed,
}

pub struct Summary {
    lines: Vec<Line>,
    watch: Stopwatch,
}

impl Summary {
    pub fn new() -> Self {
        Self {
            lines: Vec::new(),
            watch: Stopwatch::start(),
        }
    }

    /// Runs one stage under a heading and records how it ended.
    pub fn stage(&mut self, name: &str, work: impl FnOnce() -> Outcome) {
        println!("\n=== {name}");
        let watch = Stopwatch::start();
        let outcome = work();
        self.record(name, outcome, watch.elapsed());
    }

    /// Records and prints one line; used directly by what prints no heading.
    pub fn record(&mut self, name: &str, outcome: Outcome, elapsed: Elapsed) {
        let line = Line {
            name: name.to_owned(),
            outcome,
            elapsed,
        };
        println!("{}", line.text());
        self.lines.push(line);
    }

    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.lines
            .iter()
            .filter(|line| wanted(&line.outcome))
            .count()
    }

    /// Prints every line again, then the counts; the exit code says whether anything failed.
    pub fn close(self) -> ExitCode {
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let failed = self.failed();
        println!("\n=== summary");
        for line in &self.lines {
            println!("{}", line.text());
        }
        println!(
            "{passed} passed, {failed} failed, {skipped} skipped in {}",
            self.watch.elapsed()
        );
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Line {
    fn text(&self) -> String {
        let (word, detail) = match &self.outcome {
            Outcome::Passed(detail) => ("ok", detail),
            Outcome::Failed(detail) => ("FAILED", detail),
            Outcome::Skipped(detail) => ("skipped", detail),
        };
        let Self { name, elapsed, .. } = self;
        format!("{word:<8} {name:<15} {:>12}  {detail}", elapsed.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_failure_among_many_stages_fails_the_whole() {
        let mut summary = Summary::new();
        let elapsed = Elapsed(Duration::from_secs(1));
        summary.record("fmt", Outcome::Passed(String::new()), elapsed);
        summary.record(
            "deny",
            Outcome::Skipped("not installed".to_owned()),
            elapsed,
        );
        assert_eq!(summary.failed(), 0);
        summary.record(
            "unit",
            Outcome::Failed("exit status: 101".to_owned()),
            elapsed,
        );
        assert_eq!(summary.failed(), 1);
        assert_eq!(
            format!("{:?}", summary.close()),
            format!("{:?}", ExitCode::FAILURE)
        );
    }
}
