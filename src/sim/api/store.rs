//! The objects, one global version, and a bounded history of changes.
//!
//! Every change happens under one lock and raises the version, so "list, then watch from that
//! version" misses nothing. Watchers and controllers hold no queue of their own: they are woken by
//! the newest version and read the history from where they stopped. Whoever is too late is told so
//! (`Expired`), as the real server does after a compaction.
//!
//! Garbage collection runs inside the delete instead of some time later; foreground deletion is
//! treated as background.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::refusal::Refusal;
use super::resource::{NAMESPACES, Resource};
use crate::sim::object::{set_metadata, short_digest, text, uid, written};
use crate::sim::{Now, api::defaults};

/// Where an object is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its resource.
    pub resource: &'static Resource,
    /// Its namespace; empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version the change made.
    pub version: u64,
    /// What changed.
    pub key: Key,
    /// The object before; absent if it was created.
    pub before: Option<Arc<Value>>,
    /// The object after, or as it was last if it was deleted.
    pub object: Arc<Value>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// Everything the API server remembers.
pub struct Store {
    now: Now,
    history_max: usize,
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

/// The part of the store under the lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    pub(super) version: u64,
    history: VecDeque<Change>,
    /// The oldest version a watch may start from.
    oldest: u64,
    named: u64,
}

impl Key {
    /// The key of an object of a resource.
    pub fn new(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        let resource = resource.stored();
        Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of an object at hand.
    pub fn of(resource: &'static Resource, object: &Value) -> Self {
        Self::new(
            resource,
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        )
    }
}

impl Store {
    /// An empty store that remembers the given number of changes.
    pub fn new(now: Now, history_max: usize) -> Self {
        Self {
            now,
            history_max,
            state: Mutex::default(),
            newest: watch::Sender::new(0),
        }
    }

    /// The time, by the clock the store was given.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The newest version, and a way to wait for the next.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The object, if it exists.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// The objects of a resource, in one namespace or in all, and the version they are of.
    pub fn list(&self, resource: &'static Resource, namespace: &str) -> (Vec<Arc<Value>>, u64) {
        let state = self.lock();
        let start = Key::new(resource, namespace, "");
        let objects = state
            .objects
            .range(&start..)
            .take_while(|(key, _)| key.resource == start.resource)
            .filter(|(key, _)| namespace.is_empty() || key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect();
        (objects, state.version)
    }

    /// The changes after a version, oldest first, and the version read up to.
    ///
    /// # Errors
    /// `Expired` if the history does not reach back that far.
    pub fn changes_after(&self, version: u64) -> Result<(Vec<Change>, u64), Refusal> {
        let state = self.lock();
        if version < state.oldest {
            return Err(Refusal::expired(version, state.oldest));
        }
        let start = state
            .history
            .partition_point(|change| change.version <= version);
        Ok((
            state.history.range(start..).cloned().collect(),
            state.version,
        ))
    }

    /// Forgets the history, so that every watch from an older version is refused.
    pub fn compact(&self) {
        let mut state = self.lock();
        state.history.clear();
        state.oldest = state.version;
    }

    /// Stores a new object and returns it as stored.
    ///
    /// # Errors
    /// If it exists, its namespace does not, or it breaks a rule.
    pub fn create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: &Value,
    ) -> Result<Arc<Value>, Refusal> {
        let resource = resource.stored();
        let mut object = object.clone();
        let mut state = self.lock();
        if resource.namespaced
            && !state
                .objects
                .contains_key(&Key::new(&NAMESPACES, "", namespace))
        {
            return Err(Refusal::not_found(&NAMESPACES, namespace));
        }
        if !text(&object, "/metadata/resourceVersion").is_empty() {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Refusal::bad_request(message.to_owned()));
        }
        let name = state.name_for(resource, namespace, &object)?;
        self.dress(&mut state, resource, namespace, &name, &mut object);
        defaults::fill(resource, &mut object);
        defaults::check(resource, &object, None)?;
        let key = Key::new(resource, namespace, &name);
        if state.objects.contains_key(&key) {
            return Err(Refusal::already_exists(resource, &name));
        }
        Ok(self.commit(&mut state, key, object))
    }

    /// Gives a new object the metadata only the server may give.
    fn dress(
        &self,
        state: &mut State,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        object: &mut Value,
    ) {
        let now = self.now();
        state.named += 1;
        set_metadata(object, "name", name);
        if resource.namespaced {
            set_metadata(object, "namespace", namespace);
        }
        set_metadata(object, "uid", unique_id(now, state.named));
        set_metadata(object, "creationTimestamp", written(now));
        if resource.generation != super::resource::Generation::None {
            set_metadata(object, "generation", 1);
        }
        object["apiVersion"] = resource.api_version().into();
        object["kind"] = resource.kind.into();
        if resource.has_status && resource != &super::resource::NODES {
            object["status"] = Value::Object(serde_json::Map::new());
        }
    }

    /// Locks the state; what a panicking holder left is complete, since changes are made at the end.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the object under a new version and tells the watchers.
    pub(super) fn commit(&self, state: &mut State, key: Key, mut object: Value) -> Arc<Value> {
        state.version += 1;
        set_metadata(&mut object, "resourceVersion", state.version.to_string());
        let object = Arc::new(object);
        let before = state.objects.insert(key.clone(), Arc::clone(&object));
        let version = state.version;
        let told = Arc::clone(&object);
        self.remember(
            state,
            Change {
                version,
                key,
                before,
                object: told,
                deleted: false,
            },
        );
        object
    }

    /// Removes the object and tells the watchers.
    pub(super) fn remove(&self, state: &mut State, key: &Key) -> Option<Arc<Value>> {
        let before = state.objects.remove(key)?;
        state.version += 1;
        let mut last = Value::clone(&before);
        set_metadata(&mut last, "resourceVersion", state.version.to_string());
        let object = Arc::new(last);
        let version = state.version;
        let told = Arc::clone(&object);
        let key = key.clone();
        self.remember(
            state,
            Change {
                version,
                key,
                before: Some(before),
                object: told,
                deleted: true,
            },
        );
        Some(object)
    }

    fn remember(&self, state: &mut State, change: Change) {
        self.newest.send_replace(change.version);
        state.history.push_back(change);
        while state.history.len() > self.history_max {
            if let Some(forgotten) = state.history.pop_front() {
                state.oldest = forgotten.version;
            }
        }
    }
}

// === impl State ===

impl State {
    fn name_for(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        object: &Value,
    ) -> Result<String, Refusal> {
        let name = text(object, "/metadata/name");
        if !name.is_empty() {
            return Ok(name.to_owned());
        }
        let prefix = text(object, "/metadata/generateName");
        if prefix.is_empty() {
            let message = "name or generateName is required".to_owned();
            return Err(Refusal::bad_request(message));
        }
        loop {
            self.named += 1;
            let digest = short_digest(format!("{prefix}{}", self.named).as_bytes());
            let name = format!("{prefix}{}", &digest[digest.len().saturating_sub(5)..]);
            if !self
                .objects
                .contains_key(&Key::new(resource, namespace, &name))
            {
                return Ok(name);
            }
        }
    }

    /// The keys of the objects that name the uid as an owner.
    pub(super) fn dependents(&self, owner: &str) -> Vec<Key> {
        let owned = |object: &Value| {
            crate::sim::object::list(object, "/metadata/ownerReferences")
                .iter()
                .any(|reference| text(reference, "/uid") == owner)
        };
        let owned = self.objects.iter().filter(|(_, object)| owned(object));
        owned.map(|(key, _)| key.clone()).collect()
    }

    /// Whether an object of that uid exists.
    pub(super) fn has_uid(&self, wanted: &str) -> bool {
        self.objects.values().any(|object| uid(object) == wanted)
    }
}

/// An id in the form of a UUID, never given twice by a process.
fn unique_id(now: Timestamp, count: u64) -> String {
    use sha2::{Digest, Sha256};
    let seed = format!("{}/{count}/{}", now.as_nanosecond(), std::process::id());
    let digest = Sha256::digest(seed.as_bytes());
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}
