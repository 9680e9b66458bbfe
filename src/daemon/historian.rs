//! Answers the judge's needs: reads the past of series from the store, many with one pass.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::driver::Port;
use crate::domain::event::JudgeEvent;
use crate::domain::judge::Judge;
use crate::domain::need::Need;
use crate::store::Store;

/// Batches of needs under way: one a commit of the judge; a reload makes one.
pub const QUEUE: usize = 16;
/// Pause before a store that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until it is stopped. A need that was answered twice is answered once: the judge takes the first.
pub async fn run(
    store: Arc<dyn Store>,
    judge: Port<Judge>,
    mut needs: mpsc::Receiver<Vec<Need>>,
    stop: CancellationToken,
) {
    loop {
        // Biased: a stop wins over work.
        let mut list = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            list = needs.recv() => match list {
                Some(list) => list,
                None => return stop.cancelled().await,
            },
        };
        while let Ok(more) = needs.try_recv() {
            list.extend(more);
        }
        let histories = loop {
            match store.histories(&list).await {
                Ok(histories) => break histories,
                Err(error) => {
                    warn!(%error, "the past cannot be read; verdicts wait for it");
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(AGAIN) => {}
                    }
                }
            }
        };
        debug!(
            series = list.len(),
            "the past of {} series is read back",
            list.len()
        );
        for history in histories {
            if !judge.send(JudgeEvent::History(history)).await {
                return;
            }
        }
    }
}
