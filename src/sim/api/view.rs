//! Whole objects, or only their metadata, as the `Accept` header asks.

use serde_json::{Value, json};

/// The form objects are answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The whole object.
    Whole,
    /// `PartialObjectMetadata`: the metadata alone.
    Metadata,
}

impl View {
    pub(super) fn from_accept(accept: &str) -> Self {
        let first = accept.split(',').next().unwrap_or_default();
        if first.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    pub(super) fn object(self, object: &Value) -> Value {
        match self {
            Self::Whole => object.clone(),
            Self::Metadata => json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": object["metadata"],
            }),
        }
    }

    /// A list; its elements carry no type of their own, as in the real answers.
    pub(super) fn list(
        self,
        api_version: &str,
        kind: &str,
        items: Vec<Value>,
        version: u64,
    ) -> Value {
        let (api_version, kind) = match self {
            Self::Whole => (api_version, kind),
            Self::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadata"),
        };
        let items: Vec<Value> = items
            .iter()
            .map(|item| {
                let mut item = self.object(item);
                if self == Self::Whole {
                    let map = crate::sim::object::as_map(&mut item);
                    map.remove("apiVersion");
                    map.remove("kind");
                }
                item
            })
            .collect();
        json!({
            "apiVersion": api_version,
            "kind": format!("{kind}List"),
            "metadata": {"resourceVersion": version.to_string()},
            "items": items,
        })
    }
}
