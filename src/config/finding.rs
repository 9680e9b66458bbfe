//! What is wrong with a configuration, and where: the report that `check`, the log, the page and the API show.

use std::path::PathBuf;

/// Whether the configuration can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It cannot.
    Fault,
    /// It can, but probably does not say what was meant.
    Lint,
}

impl Level {
    /// The level's name in the rendered report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "error",
            Self::Lint => "lint",
        }
    }
}

/// A place in a file, with the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The file, relative to the directory that was read.
    pub file: String,
    /// Counted from 1; 0 stands for the whole file.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Length in characters, within the line.
    pub length: usize,
    /// The source line.
    pub source: String,
}

/// One fault or lint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Fault or lint.
    pub level: Level,
    /// Kebab-case name of the rule, stable.
    pub code: &'static str,
    /// One sentence, lower case.
    pub message: String,
    /// Where.
    pub spot: Spot,
    /// A second place that belongs to it, and what is there.
    pub also: Option<(Spot, String)>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that is wrong with a configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", super::report::human(.faults, .lints))]
pub struct Report {
    /// The directory or file that was read.
    pub root: PathBuf,
    /// At least one, ordered by place.
    pub faults: Vec<Finding>,
    /// Ordered by place.
    pub lints: Vec<Finding>,
    /// Hash of what was read, as of a configuration that can be used.
    pub hash: String,
}
