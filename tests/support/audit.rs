//! The audit log of the API server: the proof of how many patches were sent, by whom, with which body.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// Bodies of what changes workloads, the fact of everything else. Events and leases are noise here;
/// so are the probes of the server's own health.
pub const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: None
    resources:
      - { group: "", resources: [events] }
      - { group: events.k8s.io, resources: [events] }
      - { group: coordination.k8s.io, resources: [leases] }
  - level: None
    nonResourceURLs: ["/livez*", "/readyz*", "/healthz*", "/openapi*", "/version*", "/api*"]
  - level: Request
    verbs: [create, update, patch, delete, deletecollection]
    resources:
      - group: apps
        resources:
          - deployments
          - deployments/scale
          - statefulsets
          - statefulsets/scale
          - daemonsets
          - replicasets
          - replicasets/scale
          - controllerrevisions
      - { group: "", resources: [pods, pods/eviction, services] }
      - { group: networking.k8s.io, resources: [ingresses] }
  - level: Metadata
"#;

/// One request as the API server saw it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub verb: String,
    #[serde(rename = "requestURI")]
    pub uri: String,
    pub user: User,
    #[serde(default)]
    pub user_agent: String,
    #[serde(default)]
    pub object_ref: ObjectRef,
    #[serde(default)]
    pub response_status: Option<ResponseStatus>,
    /// The body, where the policy keeps it.
    #[serde(default, rename = "requestObject")]
    pub body: Option<Value>,
    #[serde(default, rename = "requestReceivedTimestamp")]
    pub received_at: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct User {
    #[serde(default)]
    pub username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ResponseStatus {
    #[serde(default)]
    pub code: u16,
}

impl Entry {
    /// The field manager that the request named.
    pub fn field_manager(&self) -> Option<&str> {
        let (_, query) = self.uri.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("fieldManager="))
    }

    /// The status that was answered; 0 if none was.
    pub fn code(&self) -> u16 {
        self.response_status
            .as_ref()
            .map_or(0, |status| status.code)
    }

    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }
}

/// The entries of a log, with the questions that stories ask of it.
#[derive(Clone, Debug)]
pub struct Audit(pub Vec<Entry>);

impl Audit {
    /// Reads the whole log; a line still being written is left for the next look.
    pub fn read(path: &Path) -> Self {
        Self::read_about(path, "")
    }

    /// Reads the lines in which a word stands.
    pub fn read_about(path: &Path, word: &str) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let entries = whole
            .lines()
            .filter(|line| line.contains(word))
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("odd line in the audit log: {error}: {line}"))
            })
            .collect();
        Self(entries)
    }

    pub fn filter(&self, wanted: impl Fn(&Entry) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|entry| wanted(entry))
                .cloned()
                .collect(),
        )
    }

    pub fn in_namespace(&self, namespace: &str) -> Self {
        self.filter(|entry| entry.object_ref.namespace == namespace)
    }

    /// Requests under a field manager, dry runs left out.
    pub fn by_field_manager(&self, manager: &str) -> Self {
        self.filter(|entry| entry.field_manager() == Some(manager) && !entry.is_dry_run())
    }

    /// Requests of a service account.
    pub fn by_account(&self, namespace: &str, account: &str) -> Self {
        let name = format!("system:serviceaccount:{namespace}:{account}");
        self.filter(|entry| entry.user.username == name)
    }

    /// Patches of the objects themselves (`deployments`), not of a subresource; refused ones too.
    pub fn patches_of(&self, resource: &str) -> Self {
        self.filter(|entry| {
            entry.verb == "patch"
                && entry.object_ref.resource == resource
                && entry.object_ref.subresource.is_empty()
        })
    }

    /// Whatever was accepted.
    pub fn accepted(&self) -> Self {
        self.filter(|entry| (200..300).contains(&entry.code()))
    }

    /// What least privilege refused: must be empty for the daemon.
    pub fn forbidden(&self) -> Self {
        self.filter(|entry| entry.code() == 403)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Display for Audit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for entry in &self.0 {
            let Entry {
                verb,
                uri,
                user,
                received_at,
                ..
            } = entry;
            writeln!(
                formatter,
                "{received_at} {} {verb} {uri} by {}",
                entry.code(),
                user.username
            )?;
        }
        Ok(())
    }
}
