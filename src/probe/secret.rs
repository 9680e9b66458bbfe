//! Secrets, read where they are when they are needed; never kept, never shown.

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;

use crate::domain::observation::Fault;
use crate::domain::target::SecretRef;

/// The largest secret: a token or a password, not a key store. Whoever names a device or a log by
/// mistake gets a fault instead of a full memory.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret anew, so that a rotated one is used at the next look. Trailing newlines are dropped.
/// A secret that cannot be read is Holdfast's own fault: the look is void.
pub(super) async fn read(secret: &SecretRef) -> Result<String, Fault> {
    match secret {
        SecretRef::File(path) => {
            let unreadable = |why: &dyn std::fmt::Display| {
                Fault::Local(
                    format!("the secret file {} cannot be read: {why}", path.display()).into(),
                )
            };
            let mut file = tokio::fs::File::open(path)
                .await
                .map_err(|error| unreadable(&error.kind()))?
                .take(SECRET_BYTES_MAX + 1);
            let mut text = String::new();
            file.read_to_string(&mut text)
                .await
                .map_err(|error| unreadable(&error.kind()))?;
            if text.len() as u64 > SECRET_BYTES_MAX {
                return Err(unreadable(&"it is too large"));
            }
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
            Ok(text)
        }
        SecretRef::Env(name) => {
            let fault = |why: &str| -> Arc<str> { format!("the variable {name} {why}").into() };
            std::env::var_os(name)
                .ok_or_else(|| Fault::Local(fault("is not set")))?
                .into_string()
                .map_err(|_| Fault::Local(fault("is not UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_file_is_read_at_each_look_without_its_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = SecretRef::File(path.clone());
        let missing = read(&secret).await.unwrap_err();
        assert_eq!(
            missing.to_string(),
            format!(
                "Holdfast could not look: the secret file {} cannot be read: entity not found",
                path.display()
            )
        );
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(read(&secret).await.unwrap(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(read(&secret).await.unwrap(), "two");
    }

    #[tokio::test]
    async fn a_missing_variable_is_named() {
        let secret = SecretRef::Env("HOLDFAST_TEST_NOBODY_SETS_THIS".into());
        let fault = read(&secret).await.unwrap_err();
        assert!(matches!(&fault, Fault::Local(why) if why.contains("NOBODY_SETS_THIS")));
    }
}
