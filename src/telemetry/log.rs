//! Where the log goes and how it looks: standard error, as text for people or JSON lines for machines.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// `--log`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `--log-level`: `info`, or directives such as `warn,holdfast=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

/// The text is neither a level nor a list of directives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a level is error, warn, info, debug or trace, or directives such as `warn,holdfast=debug`: {0}")]
pub struct LevelError(String);

impl Default for Level {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Level {
    type Err = LevelError;
    fn from_str(text: &str) -> Result<Self, LevelError> {
        if text.trim().is_empty() {
            return Err(LevelError("it is empty".to_owned()));
        }
        // A misspelt level would be taken as the name of a target, and silence everything else.
        for directive in text.split(',') {
            let level = directive.rsplit('=').next().unwrap_or_default().trim();
            level
                .parse::<tracing_subscriber::filter::LevelFilter>()
                .map_err(|_| LevelError(format!("`{level}` is no level")))?;
        }
        EnvFilter::try_new(text).map_err(|error| LevelError(error.to_string()))?;
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("failed to read the log level")]
    Level(#[source] tracing_subscriber::filter::ParseError),
    /// Somebody set a log up before.
    #[error("failed to set the log up")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets the log up for the whole process. `color` is what the caller read of `NO_COLOR`; there is none
/// either where standard error is no terminal.
///
/// # Errors
/// If it was set up before.
pub fn init(format: Format, level: &Level, color: bool) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&level.0).map_err(LogError::Level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let set = match format {
        Format::Text => builder
            .with_ansi(color && std::io::stderr().is_terminal())
            .finish()
            .try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_directives_and_nothing_else() {
        for text in ["info", "WARN", "off", "warn,holdfast=debug"] {
            assert!(text.parse::<Level>().is_ok(), "{text}");
        }
        for text in ["", "loud", "holdfast=loud", "warn,holdfast"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
        assert_eq!(Level::default().to_string(), "info");
    }
}
