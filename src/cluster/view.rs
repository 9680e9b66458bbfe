//! What is known of the watched workloads: a pure index from watch events to sightings.
//!
//! It keeps digests only, of configured workloads only. A namespace says nothing until its first listing is
//! complete, so a workload is never reported as gone because its page had not come yet; a listing that is
//! done again (after a 410) replaces what was known, and only differences are said.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use super::deployment::Deployment;
use super::replica_set::ReplicaSet;
use crate::domain::id::TemplateDigest;
use crate::domain::id::Uid;
use crate::domain::rollout::{Seen, Sighting};
use crate::domain::spec::WorkloadRef;
use crate::domain::time::Timestamp;

/// A pod, as little as is needed to know its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: Arc<str>,
    /// The unique id of the ReplicaSet that controls it.
    pub set: Uid,
}

/// One step of a watch. `T` is none for an object that is of no concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// A listing begins.
    Begin,
    /// One object of the listing.
    Listed(T),
    /// The listing is complete.
    Complete,
    /// An object was made or changed.
    Changed(T),
    /// An object was deleted.
    Deleted(T),
}

/// A step of one of the three watches of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of Deployments.
    Deployment(Step<Option<Deployment>>),
    /// Of ReplicaSets.
    ReplicaSet(Step<Option<ReplicaSet>>),
    /// Of pods.
    Pod(Step<Option<Pod>>),
}

/// Objects of one kind, and the listing that will replace them.
#[derive(Debug)]
struct Shelf<K, T> {
    objects: BTreeMap<K, T>,
    incoming: BTreeMap<K, T>,
    complete: bool,
}

/// What a step did to a shelf.
enum Effect<T> {
    Nothing,
    One(T),
    All,
}

// === impl Shelf ===

impl<K: Ord, T: Clone> Shelf<K, T> {
    const fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            incoming: BTreeMap::new(),
            complete: false,
        }
    }

    fn take(&mut self, step: Step<Option<T>>, key: impl Fn(&T) -> K) -> Effect<T> {
        match step {
            Step::Begin => {
                self.incoming.clear();
                Effect::Nothing
            }
            Step::Listed(Some(object)) => {
                self.incoming.insert(key(&object), object);
                Effect::Nothing
            }
            Step::Complete => {
                self.objects = mem::take(&mut self.incoming);
                self.complete = true;
                Effect::All
            }
            Step::Changed(Some(object)) => {
                self.objects.insert(key(&object), object.clone());
                Effect::One(object)
            }
            Step::Deleted(Some(object)) => {
                self.objects.remove(&key(&object));
                Effect::One(object)
            }
            Step::Listed(None) | Step::Changed(None) | Step::Deleted(None) => Effect::Nothing,
        }
    }
}

#[derive(Debug)]
struct Namespace {
    deployments: Shelf<Arc<str>, Deployment>,
    sets: Shelf<Uid, ReplicaSet>,
    pods: Shelf<Arc<str>, Pod>,
}

impl Default for Namespace {
    fn default() -> Self {
        Self {
            deployments: Shelf::new(),
            sets: Shelf::new(),
            pods: Shelf::new(),
        }
    }
}

/// What was last said of a workload.
#[derive(Debug, Default)]
struct Said {
    seen: Option<Box<Seen>>,
    gone: bool,
    pods: Option<BTreeMap<Arc<str>, TemplateDigest>>,
}

/// The index.
#[derive(Debug, Default)]
pub struct View {
    targets: BTreeSet<WorkloadRef>,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    said: BTreeMap<WorkloadRef, Said>,
    dirty: BTreeSet<WorkloadRef>,
}

// === impl View ===

impl View {
    /// Takes the configured workloads. Answers the namespaces whose watches must begin anew: those in which
    /// something is watched for that was not before. What is no longer configured is forgotten.
    pub fn retarget(&mut self, targets: BTreeSet<WorkloadRef>) -> BTreeSet<Arc<str>> {
        let added = targets
            .difference(&self.targets)
            .map(|target| target.namespace().into());
        let added: BTreeSet<Arc<str>> = added.collect();
        self.said.retain(|target, _| targets.contains(target));
        self.dirty.retain(|target| targets.contains(target));
        self.namespaces.retain(|namespace, _| {
            targets
                .iter()
                .any(|target| target.namespace() == &**namespace)
        });
        for namespace in &added {
            self.namespaces
                .insert(namespace.clone(), Namespace::default());
        }
        self.targets = targets;
        added
    }

    /// The namespaces in which something is watched.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.namespaces.keys()
    }

    /// Whether something may have to be said.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes one change of a namespace.
    pub fn apply(&mut self, namespace: &Arc<str>, change: Change) {
        let Some(known) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let touched = match change {
            Change::Deployment(step) => {
                let effect = known
                    .deployments
                    .take(step, |object| object.target.name().into());
                named(effect, |object| Some(object.target.name().into()))
            }
            Change::ReplicaSet(step) => {
                let effect = known.sets.take(step, |set| set.uid.clone());
                named(effect, |set| Some(set.owner_name.clone()))
            }
            Change::Pod(step) => {
                let effect = known.pods.take(step, |pod| pod.name.clone());
                let sets = &known.sets.objects;
                named(effect, |pod| {
                    sets.get(&pod.set).map(|set| set.owner_name.clone())
                })
            }
        };
        match touched {
            Effect::Nothing => {}
            Effect::One(name) => self.touch(&WorkloadRef::deployment(namespace, &name)),
            Effect::All => {
                let inside = |target: &&WorkloadRef| target.namespace() == &**namespace;
                let all: Vec<_> = self.targets.iter().filter(inside).cloned().collect();
                self.dirty.extend(all);
            }
        }
    }

    fn touch(&mut self, target: &WorkloadRef) {
        if self.targets.contains(target) {
            self.dirty.insert(target.clone());
        }
    }

    /// What there is to say now of all that changed. What cannot be said yet stays for later.
    pub fn take(&mut self, now: Timestamp) -> Vec<Sighting> {
        let mut sightings = Vec::new();
        for target in mem::take(&mut self.dirty) {
            let Some(known) = self.namespaces.get(target.namespace()) else {
                continue;
            };
            let said = self.said.entry(target.clone()).or_default();
            if known.deployments.complete && known.sets.complete {
                sightings.extend(sighting(known, said, &target, now));
            }
            if known.sets.complete && known.pods.complete {
                sightings.extend(pods(known, said, &target, now));
            }
        }
        sightings
    }
}

/// The name of the workload that an effect on one of its objects touches.
fn named<T>(effect: Effect<T>, name: impl Fn(&T) -> Option<Arc<str>>) -> Effect<Arc<str>> {
    match effect {
        Effect::Nothing => Effect::Nothing,
        Effect::All => Effect::All,
        Effect::One(object) => name(&object).map_or(Effect::Nothing, Effect::One),
    }
}

fn sighting(
    known: &Namespace,
    said: &mut Said,
    target: &WorkloadRef,
    now: Timestamp,
) -> Option<Sighting> {
    let Some(deployment) = known.deployments.objects.get(target.name()) else {
        said.seen = None;
        if mem::replace(&mut said.gone, true) {
            return None;
        }
        return Some(Sighting::Gone {
            target: target.clone(),
            at: now,
        });
    };
    let seen = Box::new(deployment.seen(known.sets.objects.values(), now));
    said.gone = false;
    if said.seen.as_ref().is_some_and(|before| same(before, &seen)) {
        return None;
    }
    said.seen = Some(seen.clone());
    Some(Sighting::Seen(seen))
}

/// Whether nothing changed that means something: a moved version alone does not.
fn same(before: &Seen, after: &Seen) -> bool {
    let mut before = before.clone();
    before.at = after.at;
    before.resource_version = after.resource_version.clone();
    before == *after
}

fn pods(
    known: &Namespace,
    said: &mut Said,
    target: &WorkloadRef,
    now: Timestamp,
) -> Option<Sighting> {
    let template = |pod: &Pod| {
        let set = known.sets.objects.get(&pod.set)?;
        (*set.owner_name == *target.name()).then(|| (pod.name.clone(), set.template))
    };
    let pods: BTreeMap<_, _> = known.pods.objects.values().filter_map(template).collect();
    // No pods is worth saying only where there were some.
    if said.pods.as_ref() == Some(&pods) || (said.pods.is_none() && pods.is_empty()) {
        return None;
    }
    said.pods = Some(pods.clone());
    Some(Sighting::Pods {
        target: target.clone(),
        pods,
        at: now,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_603_600);

    fn deployment(version: &str, image: &str, ready: u32) -> Option<Deployment> {
        let object = json!({
            "metadata": { "name": "api", "namespace": "shop", "uid": "u1", "resourceVersion": version },
            "spec": { "template": { "spec": { "containers": [{ "image": image }] } } },
            "status": { "readyReplicas": ready },
        });
        Deployment::read(&serde_json::from_value(object).unwrap())
    }

    fn set(uid: &str, image: &str) -> Option<ReplicaSet> {
        let object = json!({
            "metadata": { "name": uid, "namespace": "shop", "uid": uid,
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "api",
                                      "uid": "u1", "controller": true }] },
            "spec": { "template": { "spec": { "containers": [{ "image": image }] } } },
        });
        ReplicaSet::read(&serde_json::from_value(object).unwrap())
    }

    fn pod(name: &str, set: &str) -> Option<Pod> {
        Some(Pod {
            name: name.into(),
            set: Uid(set.into()),
        })
    }

    fn view() -> (View, Arc<str>) {
        let mut view = View::default();
        let targets = [
            WorkloadRef::deployment("shop", "api"),
            WorkloadRef::deployment("shop", "web"),
        ];
        let begin = view.retarget(targets.into());
        assert_eq!(begin.len(), 1);
        (view, Arc::from("shop"))
    }

    fn list(view: &mut View, shop: &Arc<str>, ready: u32) {
        for step in [
            Step::Begin,
            Step::Listed(deployment("1", "api:1", ready)),
            Step::Complete,
        ] {
            view.apply(shop, Change::Deployment(step));
        }
        for step in [
            Step::Begin,
            Step::Listed(set("s1", "api:1")),
            Step::Complete,
        ] {
            view.apply(shop, Change::ReplicaSet(step));
        }
        for step in [Step::Begin, Step::Listed(pod("p1", "s1")), Step::Complete] {
            view.apply(shop, Change::Pod(step));
        }
    }

    fn kinds(sightings: &[Sighting]) -> Vec<(&'static str, &str)> {
        let kind = |sighting: &Sighting| match sighting {
            Sighting::Seen(_) => "seen",
            Sighting::Gone { .. } => "gone",
            Sighting::Pods { .. } => "pods",
        };
        sightings
            .iter()
            .map(|one| (kind(one), one.target().name()))
            .collect()
    }

    #[test]
    fn nothing_is_said_before_the_first_listing_is_complete() {
        let (mut view, shop) = view();
        view.apply(&shop, Change::Deployment(Step::Begin));
        view.apply(
            &shop,
            Change::Deployment(Step::Listed(deployment("1", "api:1", 1))),
        );
        assert!(view.take(NOW).is_empty());
        list(&mut view, &shop, 1);
        let said = view.take(NOW);
        assert_eq!(
            kinds(&said),
            [("seen", "api"), ("pods", "api"), ("gone", "web")]
        );
    }

    #[test]
    fn the_same_listing_again_says_nothing_and_a_changed_one_the_difference() {
        let (mut view, shop) = view();
        list(&mut view, &shop, 1);
        view.take(NOW);
        list(&mut view, &shop, 1);
        assert_eq!(view.take(NOW), []);
        list(&mut view, &shop, 0);
        assert_eq!(kinds(&view.take(NOW)), [("seen", "api")]);
        for step in [Step::Begin, Step::Complete] {
            view.apply(&shop, Change::Deployment(step));
        }
        assert_eq!(kinds(&view.take(NOW)), [("gone", "api")]);
        assert_eq!(view.take(NOW), []);
    }

    #[test]
    fn a_moved_version_alone_is_not_said() {
        let (mut view, shop) = view();
        list(&mut view, &shop, 1);
        view.take(NOW);
        view.apply(
            &shop,
            Change::Deployment(Step::Changed(deployment("2", "api:1", 1))),
        );
        assert_eq!(view.take(NOW), []);
        view.apply(
            &shop,
            Change::Deployment(Step::Changed(deployment("3", "api:2", 1))),
        );
        let said = view.take(NOW);
        assert_eq!(kinds(&said), [("seen", "api")]);
    }

    #[test]
    fn pods_are_known_by_their_template_even_if_they_come_before_their_replica_set() {
        let (mut view, shop) = view();
        list(&mut view, &shop, 1);
        view.take(NOW);
        view.apply(&shop, Change::Pod(Step::Changed(pod("p2", "s2"))));
        assert_eq!(view.take(NOW), []);
        view.apply(&shop, Change::ReplicaSet(Step::Changed(set("s2", "api:2"))));
        let said = view.take(NOW);
        let Some(Sighting::Pods { pods, .. }) = said.last() else {
            panic!("{said:?}");
        };
        assert_eq!(pods.len(), 2);
        assert_ne!(pods.get("p1"), pods.get("p2"));
        view.apply(&shop, Change::Pod(Step::Deleted(pod("p1", "s1"))));
        assert_eq!(kinds(&view.take(NOW)), [("pods", "api")]);
    }

    #[test]
    fn a_workload_that_is_no_longer_configured_is_forgotten_and_the_others_go_on() {
        let (mut view, shop) = view();
        list(&mut view, &shop, 1);
        view.take(NOW);
        let begin = view.retarget([WorkloadRef::deployment("shop", "api")].into());
        assert!(begin.is_empty());
        view.apply(
            &shop,
            Change::Deployment(Step::Deleted(deployment("1", "api:1", 1))),
        );
        assert_eq!(kinds(&view.take(NOW)), [("gone", "api")]);
        assert!(view.retarget(BTreeSet::new()).is_empty());
        assert_eq!(view.namespaces().count(), 0);
    }

    #[test]
    fn a_workload_that_comes_back_is_seen_again() {
        let (mut view, shop) = view();
        list(&mut view, &shop, 1);
        view.take(NOW);
        view.apply(
            &shop,
            Change::Deployment(Step::Deleted(deployment("1", "api:1", 1))),
        );
        view.take(NOW);
        view.apply(
            &shop,
            Change::Deployment(Step::Changed(deployment("9", "api:1", 1))),
        );
        assert_eq!(kinds(&view.take(NOW)), [("seen", "api")]);
    }
}
