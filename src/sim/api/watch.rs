//! A watch: the changes after a version as lines of JSON, until its time is up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use super::resource::Resource;
use super::selector::Selector;
use super::store::{Change, Store};
use super::view::View;
use crate::sim::object::text;

/// How often a quiet watch says which version it has reached, if it was asked to.
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);

/// What a watch asks for.
pub(super) struct WatchRequest {
    pub(super) resource: &'static Resource,
    pub(super) namespace: String,
    pub(super) selector: Selector,
    pub(super) view: View,
    /// The version to start after; absent to be told of everything there is first.
    pub(super) after: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) lasts: Duration,
}

struct Watch {
    store: Arc<Store>,
    request: WatchRequest,
    shutdown: CancellationToken,
    newest: tokio::sync::watch::Receiver<u64>,
    version: u64,
    lines: VecDeque<Bytes>,
    deadline: Instant,
    bookmark_at: Instant,
    ended: bool,
}

/// The body of a watch's answer.
pub(super) fn body(store: Arc<Store>, request: WatchRequest, shutdown: CancellationToken) -> Body {
    let newest = store.newest();
    let started = Instant::now();
    let mut watch = Watch {
        version: request.after.unwrap_or_default(),
        deadline: started + request.lasts,
        bookmark_at: started + BOOKMARK_EVERY,
        lines: VecDeque::new(),
        ended: false,
        newest,
        store,
        request,
        shutdown,
    };
    if watch.request.after.is_none() {
        watch.tell_everything();
    }
    Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    }))
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.newest.mark_unchanged();
            self.read();
            if !self.lines.is_empty() || self.ended {
                continue;
            }
            tokio::select! {
                // The end comes first, so that a busy cluster cannot keep a watch alive.
                biased;
                () = self.shutdown.cancelled() => self.ended = true,
                () = tokio::time::sleep_until(self.deadline) => {
                    self.bookmark();
                    self.ended = true;
                }
                () = tokio::time::sleep_until(self.bookmark_at) => self.bookmark(),
                changed = self.newest.changed() => self.ended = changed.is_err(),
            }
        }
    }

    fn read(&mut self) {
        match self.store.changes_after(self.version) {
            Ok((changes, version)) => {
                self.version = version;
                for change in changes {
                    self.tell(&change);
                }
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn tell_everything(&mut self) {
        let (objects, version) = self
            .store
            .list(self.request.resource.stored(), &self.request.namespace);
        self.version = version;
        for object in objects {
            let shown = self.request.resource.shown(&object);
            if self.request.selector.matches(&shown) {
                self.push("ADDED", &shown);
            }
        }
    }

    fn tell(&mut self, change: &Change) {
        let WatchRequest {
            resource,
            namespace,
            selector,
            ..
        } = &self.request;
        if change.key.resource != resource.stored()
            || !(namespace.is_empty() || namespace == &change.key.namespace)
        {
            return;
        }
        let selected = |object: &Value| {
            let shown = resource.shown(object);
            selector.matches(&shown).then_some(shown)
        };
        let before = change.before.as_deref().and_then(selected);
        let after = if change.deleted {
            None
        } else {
            selected(&change.object)
        };
        match (before, after) {
            (None, Some(after)) => self.push("ADDED", &after),
            (Some(_), Some(after)) => self.push("MODIFIED", &after),
            (Some(mut before), None) => {
                // The last state the watcher selected, under the version of the change.
                let version = text(&change.object, "/metadata/resourceVersion");
                before["metadata"]["resourceVersion"] = version.into();
                self.push("DELETED", &before);
            }
            (None, None) => {}
        }
    }

    fn push(&mut self, kind: &str, object: &Value) {
        let object = self.request.view.object(object);
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.lines.push_back(Bytes::from(line));
    }

    fn bookmark(&mut self) {
        self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
        if !self.request.bookmarks || self.version == 0 {
            return;
        }
        let resource = self.request.resource;
        let object = json!({
            "apiVersion": resource.api_version(),
            "kind": resource.kind,
            "metadata": {"resourceVersion": self.version.to_string(), "creationTimestamp": null},
        });
        self.push("BOOKMARK", &object);
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let line = format!(
            "{}\n",
            json!({"type": "ERROR", "object": refusal.to_status()})
        );
        self.lines.push_back(Bytes::from(line));
        self.ended = true;
    }
}
