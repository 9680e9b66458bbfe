//! Notices that the files may have changed, and wakes only if they did.
//!
//! A mounted ConfigMap changes by the swap of one link (`..data`), which a watch on the files themselves
//! misses from the second time on. So the directories are watched, what an event says is ignored, and the
//! contents are compared: by hash, after the events have been quiet for a moment, and every half minute in
//! any case (network file systems and some kernels send no events). A mount by `subPath` never changes;
//! nothing here can help that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::files;

/// An update by kubelet is five events within a few milliseconds; an editor's save is three.
const QUIET: Duration = Duration::from_millis(250);
/// A directory in which something is always written is looked at every five seconds.
const UNQUIET_MAX: usize = 20;
/// What events missed is found after this long.
const POLL: Duration = Duration::from_secs(30);
/// A hint says only "look": one waiting is as good as many.
const HINTS: usize = 1;

/// Watches the files of a configuration.
pub struct Watch {
    path: PathBuf,
    hash: String,
    hints: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    poll: Duration,
}

// === impl Watch ===

impl Watch {
    /// Watches what `path` names; `hash` is that of the configuration (or of the report) that was read
    /// last, so a change between that reading and this call is not lost.
    #[must_use]
    pub fn new(path: &Path, hash: &str) -> Self {
        let (tx, hints) = mpsc::channel(HINTS);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the files is an event too, and must not cause the next reading.
            let reading = event.is_ok_and(|event| event.kind.is_access());
            if !reading {
                // A full channel holds a hint already.
                tx.try_send(()).ok();
            }
        });
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the configuration; looking every 30 s instead");
                None
            }
        };
        let mut watch = Self {
            path: path.to_owned(),
            hash: hash.to_owned(),
            hints,
            watcher,
            watched: BTreeSet::new(),
            poll: POLL,
        };
        watch.follow();
        watch
    }

    /// Returns when the contents differ from those last returned for. Cancel-safe: a change that was
    /// noticed but not returned is noticed again.
    pub async fn changed(&mut self) {
        loop {
            let hash = self.current().await;
            if hash != self.hash {
                self.hash = hash;
                return;
            }
            self.wait().await;
        }
    }

    /// Waits for a hint and for quiet after it, or for the time to look anyway.
    async fn wait(&mut self) {
        let hint = tokio::time::timeout(self.poll, self.hints.recv()).await;
        match hint {
            Ok(Some(())) => {
                for _ in 0..UNQUIET_MAX {
                    match tokio::time::timeout(QUIET, self.hints.recv()).await {
                        Ok(Some(())) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            }
            // Without a watcher the channel is closed: only time goes by.
            Ok(None) => tokio::time::sleep(self.poll).await,
            Err(_elapsed) => {}
        }
        self.follow();
    }

    async fn current(&self) -> String {
        let path = self.path.clone();
        // Reading many files may take a moment; the runtime's threads are not for that.
        match tokio::task::spawn_blocking(move || files::hash(&path)).await {
            Ok(hash) => hash,
            Err(error) => {
                tracing::error!(%error, "the configuration's files could not be compared");
                self.hash.clone()
            }
        }
    }

    /// Watches the directories that are there now; folders come and go, and one that was replaced has the
    /// old name but needs a new watch.
    fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let folders: BTreeSet<PathBuf> = files::directories(&self.path).into_iter().collect();
        for gone in self.watched.difference(&folders) {
            // Its watch may have gone with it: nothing is lost if it has.
            watcher.unwatch(gone).ok();
        }
        for folder in &folders {
            let result = watcher.watch(folder, RecursiveMode::NonRecursive);
            if let Err(error) = result
                && !self.watched.contains(folder)
            {
                let folder = folder.display();
                tracing::warn!(%error, "cannot watch {folder}; looking every 30 s instead");
            }
        }
        self.watched = folders;
    }
}
