//! Calls to the API server: each has its own deadline, and each error one meaning.
//!
//! The client's own retries are off: it would repeat a patch fifteen times over minutes, long after this
//! process has lost the right to send it.

use std::future::Future;
use std::time::Duration;

use super::PlatformError;

/// How long a read may take. Reading is cheap to repeat and nothing waits for it for longer.
pub const READ: Duration = Duration::from_secs(5);
/// How long a write may take until its answer counts as lost.
pub const WRITE: Duration = Duration::from_secs(10);

/// No answer within the deadline.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct Late(Duration);

/// Awaits a call for at most `within`.
pub async fn within<T>(
    within: Duration,
    doing: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, PlatformError> {
    match tokio::time::timeout(within, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
            Err(PlatformError::Forbidden { doing })
        }
        Ok(Err(error)) => Err(PlatformError::Unreachable {
            doing,
            source: Box::new(error),
        }),
        Err(_) => Err(PlatformError::Unreachable {
            doing,
            source: Box::new(Late(within)),
        }),
    }
}

/// An error with all its causes, for one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
