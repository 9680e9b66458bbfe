//! The resources served, and what is particular to each.

use serde_json::{Value, json};

/// One kind of object the API serves.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The name in paths: plural, lower case.
    pub plural: &'static str,
    /// The API version.
    pub version: &'static str,
    /// The kind of its objects.
    pub kind: &'static str,
    /// Short names `kubectl` takes.
    pub short: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `status` is a subresource, so that a plain write leaves it alone.
    pub has_status: bool,
    /// What a write must change for the object's generation to rise.
    pub generation: Generation,
}

/// What raises `metadata.generation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// The object has none.
    None,
    /// A change of `spec`.
    Spec,
    /// A change of `spec` or of the annotations, as for Deployments.
    SpecOrAnnotations,
}

const fn plain(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
) -> Resource {
    Resource {
        group,
        plural,
        version,
        kind,
        short,
        namespaced: true,
        has_status: false,
        generation: Generation::None,
    }
}

const fn with_status(resource: Resource, generation: Generation) -> Resource {
    Resource {
        has_status: true,
        generation,
        ..resource
    }
}

const fn cluster_wide(resource: Resource) -> Resource {
    Resource {
        namespaced: false,
        ..resource
    }
}

/// Namespaces.
pub static NAMESPACES: Resource = cluster_wide(with_status(
    plain("", "v1", "namespaces", "Namespace", &["ns"]),
    Generation::None,
));
/// Nodes.
pub static NODES: Resource = cluster_wide(with_status(
    plain("", "v1", "nodes", "Node", &["no"]),
    Generation::None,
));
/// Pods.
pub static PODS: Resource = with_status(plain("", "v1", "pods", "Pod", &["po"]), Generation::Spec);
/// Services.
pub static SERVICES: Resource = with_status(
    plain("", "v1", "services", "Service", &["svc"]),
    Generation::None,
);
/// Events as the core group shows them; stored as [`EVENTS`].
pub static CORE_EVENTS: Resource = plain("", "v1", "events", "Event", &["ev"]);
/// ConfigMaps.
pub static CONFIG_MAPS: Resource = plain("", "v1", "configmaps", "ConfigMap", &["cm"]);
/// Secrets.
pub static SECRETS: Resource = plain("", "v1", "secrets", "Secret", &[]);
/// ServiceAccounts.
pub static SERVICE_ACCOUNTS: Resource =
    plain("", "v1", "serviceaccounts", "ServiceAccount", &["sa"]);
/// Events as their own group shows them.
pub static EVENTS: Resource = plain("events.k8s.io", "v1", "events", "Event", &["ev"]);
/// Deployments.
pub static DEPLOYMENTS: Resource = with_status(
    plain("apps", "v1", "deployments", "Deployment", &["deploy"]),
    Generation::SpecOrAnnotations,
);
/// ReplicaSets.
pub static REPLICA_SETS: Resource = with_status(
    plain("apps", "v1", "replicasets", "ReplicaSet", &["rs"]),
    Generation::Spec,
);
/// StatefulSets; stored, no controller runs for them.
pub static STATEFUL_SETS: Resource = with_status(
    plain("apps", "v1", "statefulsets", "StatefulSet", &["sts"]),
    Generation::Spec,
);
/// DaemonSets; stored, no controller runs for them.
pub static DAEMON_SETS: Resource = with_status(
    plain("apps", "v1", "daemonsets", "DaemonSet", &["ds"]),
    Generation::Spec,
);
/// ControllerRevisions.
pub static CONTROLLER_REVISIONS: Resource = plain(
    "apps",
    "v1",
    "controllerrevisions",
    "ControllerRevision",
    &[],
);
/// Leases.
pub static LEASES: Resource = plain("coordination.k8s.io", "v1", "leases", "Lease", &[]);

/// Every resource served.
pub static RESOURCES: [&Resource; 15] = [
    &NAMESPACES,
    &NODES,
    &PODS,
    &SERVICES,
    &CORE_EVENTS,
    &CONFIG_MAPS,
    &SECRETS,
    &SERVICE_ACCOUNTS,
    &EVENTS,
    &DEPLOYMENTS,
    &REPLICA_SETS,
    &STATEFUL_SETS,
    &DAEMON_SETS,
    &CONTROLLER_REVISIONS,
    &LEASES,
];

impl Resource {
    /// The resource served at a group, version and plural name.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
        RESOURCES.into_iter().find(|resource| {
            resource.group == group && resource.version == version && resource.plural == plural
        })
    }

    /// The name people read: `deployments.apps`, `pods`.
    pub fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The kind with its group, as some refusals name it: `Deployment.apps`, `Pod`.
    pub fn qualified_kind(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// The `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The resource under which objects are kept: the two groups of Events show the same ones.
    pub fn stored(&'static self) -> &'static Resource {
        if self == &CORE_EVENTS { &EVENTS } else { self }
    }

    /// An object as this resource shows it, from the form it is kept in.
    pub fn shown(&self, kept: &Value) -> Value {
        if self == &CORE_EVENTS {
            rename(kept, &EVENT_FIELDS, self)
        } else {
            kept.clone()
        }
    }

    /// An object in the form it is kept in, from the form this resource shows.
    pub fn kept(&'static self, shown: &Value) -> Value {
        if self != &CORE_EVENTS {
            return shown.clone();
        }
        let backwards = EVENT_FIELDS.map(|(kept, shown)| (shown, kept));
        rename(shown, &backwards, &EVENTS)
    }

    /// Its entry in the discovery document of its group.
    pub fn described(&self) -> Vec<Value> {
        let verbs = json!([
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch"
        ]);
        let mut entries = vec![json!({
            "name": self.plural,
            "singularName": self.kind.to_lowercase(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "shortNames": self.short,
            "verbs": verbs,
        })];
        if self.has_status {
            entries.push(json!({
                "name": format!("{}/status", self.plural),
                "singularName": "",
                "namespaced": self.namespaced,
                "kind": self.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
        entries
    }
}

/// Event fields of `events.k8s.io/v1`, and their names in the core group.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn rename(object: &Value, fields: &[(&str, &str)], to: &Resource) -> Value {
    let Some(map) = object.as_object() else {
        return object.clone();
    };
    let mut renamed: serde_json::Map<String, Value> = map
        .iter()
        .map(|(key, value)| {
            let field = fields.iter().find(|(from, _)| from == key);
            (
                field.map_or(key.as_str(), |(_, to)| to).to_owned(),
                value.clone(),
            )
        })
        .collect();
    renamed.insert("apiVersion".to_owned(), to.api_version().into());
    Value::Object(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_one_group_is_shown_by_the_other() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"name": "web"}, "message": "told", "count": 2, "type": "Normal",
        });
        let kept = CORE_EVENTS.kept(&core);
        assert_eq!(kept["regarding"]["name"], "web");
        assert_eq!(kept["note"], "told");
        assert_eq!(kept["apiVersion"], "events.k8s.io/v1");
        assert_eq!(CORE_EVENTS.shown(&kept), core);
    }

    #[test]
    fn resources_are_found_by_their_path() {
        assert_eq!(
            Resource::find("apps", "v1", "deployments"),
            Some(&DEPLOYMENTS)
        );
        assert_eq!(Resource::find("", "v1", "deployments"), None);
        assert_eq!(DEPLOYMENTS.qualified(), "deployments.apps");
        assert_eq!(PODS.api_version(), "v1");
    }
}
