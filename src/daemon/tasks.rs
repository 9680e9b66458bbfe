//! Named, supervised tasks: a dead task is a dead daemon.
//!
//! Every loop of the daemon is spawned here. If one ends before it was asked to, the whole process
//! shuts down and exits non-zero, so that Kubernetes starts it anew: a daemon that has silently stopped
//! to judge or to tell is worse than one that is seen to restart.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// The set of tasks; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    stop: CancellationToken,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    set: JoinSet<()>,
    alive: BTreeMap<&'static str, usize>,
    died: Option<&'static str>,
}

/// How the set of tasks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All ended after they were asked to.
    Clean,
    /// This one ended by itself.
    Died(&'static str),
    /// Some did not end in time.
    Late,
}

// === impl Tasks ===

impl Tasks {
    /// An empty set; `stop` asks all of its tasks to end.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            inner: Arc::default(),
        }
    }

    /// Cancelled when everything is to end.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Starts a loop that must run until it is asked to end.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let guard = Guard {
            name,
            tasks: self.clone(),
            must_stay: true,
        };
        self.start(guard, task);
    }

    /// Starts work that ends by itself (one probe's look, one delivery).
    pub fn spawn_brief(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let guard = Guard {
            name,
            tasks: self.clone(),
            must_stay: false,
        };
        self.start(guard, task);
    }

    fn start(&self, guard: Guard, task: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::info_span!("task", name = guard.name);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner.alive.entry(guard.name).or_default() += 1;
        while inner.set.try_join_next().is_some() {}
        inner.set.spawn(
            async move {
                let _guard = guard;
                task.await;
            }
            .instrument(span),
        );
    }

    /// Something that must go on has ended: everything ends.
    pub fn fail(&self, name: &'static str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.died.get_or_insert(name);
        drop(inner);
        tracing::error!(task = name, "task {name} ended by itself; shutting down");
        self.stop.cancel();
    }

    /// The tasks that are alive, by name.
    #[must_use]
    pub fn alive(&self) -> BTreeMap<&'static str, usize> {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .alive
            .clone()
    }

    /// The first task that ended by itself, if one did.
    #[must_use]
    pub fn died(&self) -> Option<&'static str> {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .died
    }

    /// Waits until all tasks have ended, at most `within`.
    pub async fn join(&self, within: Duration) -> End {
        let deadline = tokio::time::Instant::now() + within;
        let mut set = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut inner.set)
        };
        loop {
            match tokio::time::timeout_at(deadline, set.join_next()).await {
                Ok(Some(_)) => {}
                Ok(None) => return self.died().map_or(End::Clean, End::Died),
                Err(_) => return self.died().map_or(End::Late, End::Died),
            }
        }
    }
}

/// Notices the end of a task, by return or by panic.
struct Guard {
    name: &'static str,
    tasks: Tasks,
    must_stay: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut inner = self
            .tasks
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inner.alive.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                inner.alive.remove(self.name);
            }
        }
        let early = self.must_stay && !self.tasks.stop.is_cancelled();
        if early || std::thread::panicking() {
            inner.died.get_or_insert(self.name);
            drop(inner);
            tracing::error!(
                task = self.name,
                "task {} ended by itself; shutting down",
                self.name
            );
            self.tasks.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_stops_the_others() {
        let tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.stop().clone();
        tasks.spawn("patient", async move { stop.cancelled().await });
        tasks.spawn("deserter", async {});
        assert_eq!(
            tasks.join(Duration::from_secs(5)).await,
            End::Died("deserter")
        );
    }

    #[tokio::test]
    async fn a_clean_stop_is_clean() {
        let tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.stop().clone();
        tasks.spawn("patient", async move { stop.cancelled().await });
        tasks.spawn_brief("short", async {});
        tasks.stop().cancel();
        assert_eq!(tasks.join(Duration::from_secs(5)).await, End::Clean);
    }
}
