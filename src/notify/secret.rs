//! Secrets, read where and when they are needed: a file that was replaced is in force with the next
//! message, and nothing holds a secret longer than one try.

use std::fmt;

use crate::domain::target::SecretRef;

/// A secret's text. Prints as `***`.
pub struct Secret(String);

/// Why a secret could not be read; names where it was looked for, never what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read ({kind})")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// There is no such variable, or it is not text.
    #[error("the environment has no variable {0}")]
    Env(String),
    /// Nothing is in it.
    #[error("the secret {0} is empty")]
    Empty(String),
}

// === impl Secret ===

impl Secret {
    /// Reads a secret; trailing newlines are dropped.
    ///
    /// # Errors
    /// If there is none.
    pub async fn read(reference: &SecretRef) -> Result<Self, SecretError> {
        let (mut text, place) = match reference {
            SecretRef::File(path) => {
                let place = path.display().to_string();
                let read = tokio::fs::read_to_string(path).await;
                let text = read.map_err(|error| SecretError::File {
                    path: place.clone(),
                    kind: error.kind(),
                })?;
                (text, place)
            }
            SecretRef::Env(name) => (variable(name)?, name.clone()),
        };
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        if text.is_empty() {
            return Err(SecretError::Empty(place));
        }
        Ok(Self(text))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the configuration names a variable; its value is read at each use and kept nowhere"
)]
fn variable(name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|_| SecretError::Env(name.to_owned()))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_and_a_missing_one_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hmac");
        let reference = SecretRef::File(path.clone());
        let missing = Secret::read(&reference).await.unwrap_err().to_string();
        assert!(
            missing.contains("hmac cannot be read (entity not found)"),
            "{missing}"
        );
        std::fs::write(&path, "one\n").unwrap();
        let secret = Secret::read(&reference).await.unwrap();
        assert_eq!(
            (secret.expose(), format!("{secret:?}").as_str()),
            ("one", "***")
        );
        std::fs::write(&path, "two").unwrap();
        assert_eq!(Secret::read(&reference).await.unwrap().expose(), "two");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            Secret::read(&reference).await,
            Err(SecretError::Empty(_))
        ));
    }

    #[tokio::test]
    async fn a_missing_variable_is_named() {
        let reference = SecretRef::Env("HOLDFAST_NO_SUCH_VARIABLE".into());
        assert_eq!(
            Secret::read(&reference).await.unwrap_err().to_string(),
            "the environment has no variable HOLDFAST_NO_SUCH_VARIABLE"
        );
    }
}
