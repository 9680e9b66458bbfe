//! Where the log goes and how it looks: standard error, as text for people or JSON lines for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// `--log`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is neither a level nor a list of directives.
    #[error(
        "`{text}` is no log level: error, warn, info, debug, trace or off, or directives such as `warn,holdfast=debug`"
    )]
    Level {
        /// What was said.
        text: String,
    },
    /// Somebody set a log up before.
    #[error("failed to set the log up")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Reads `info`, or directives such as `warn,holdfast=debug`. A misspelt level would otherwise be taken for
/// the name of a target, and silence everything else.
fn filter(text: &str) -> Result<EnvFilter, LogError> {
    let wrong = || LogError::Level {
        text: text.to_owned(),
    };
    for directive in text.split(',') {
        let level = directive.rsplit('=').next().unwrap_or_default().trim();
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(wrong());
        }
    }
    EnvFilter::try_new(text).map_err(|_| wrong())
}

/// Sets the log up for the whole process. There are no colours where standard error is no terminal, nor if
/// `NO_COLOR` is set (the subscriber reads it).
///
/// # Errors
/// If the level is none, or a log was set up before.
pub fn start(form: Form, level: &str) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(std::io::stderr)
        .with_target(false);
    let set = match form {
        Form::Text if std::io::stderr().is_terminal() => builder.finish().try_init(),
        Form::Text => builder.with_ansi(false).finish().try_init(),
        Form::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_directives_and_nothing_else() {
        for text in ["info", "WARN", "off", "warn,holdfast=debug"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["", "loud", "holdfast=loud", "warn,holdfast"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
