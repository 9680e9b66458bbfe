//! Waiting for a condition with a deadline, and saying what was seen last when it does not come.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Short beside anything that is waited for, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until the look succeeds, and gives what it saw. An `Err` is the reason why it
/// is not so yet; the last one stands in the panic.
///
/// # Panics
/// After `within`; a look that itself hangs counts.
pub async fn eventually<T, E, Look, Seen>(what: &str, within: Duration, mut look: Look) -> T
where
    E: Display,
    Look: FnMut() -> Seen,
    Seen: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + within;
    let mut last = "nothing: the first look did not end".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, look()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(reason)) => last = reason.to_string(),
            Err(_) => panic!("{what}: not within {within:?}; last seen: {last}"),
        }
        if Instant::now() >= deadline {
            panic!("{what}: not within {within:?}; last seen: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks again and again for the whole of `during`, and panics as soon as a look fails: for what must
/// not happen. It proves only as much as its span is long; say in the story why that is enough.
pub async fn never<E, Look, Seen>(what: &str, during: Duration, mut look: Look)
where
    E: Display,
    Look: FnMut() -> Seen,
    Seen: Future<Output = Result<(), E>>,
{
    let end = Instant::now() + during;
    while Instant::now() < end {
        if let Err(reason) = look().await {
            panic!("{what}: {reason}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
