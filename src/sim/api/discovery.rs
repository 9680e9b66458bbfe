//! The documents by which a client learns what is served: versions, groups, resources, health.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};

use super::resource::RESOURCES;

/// The answer at a path that names no resource, if there is one.
pub(super) fn answer(path: &str) -> Option<Response> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let document = match parts.as_slice() {
        ["readyz" | "livez" | "healthz", ..] => {
            return Some((StatusCode::OK, "ok").into_response());
        }
        ["version"] => json!({
            "major": "1",
            "minor": "36",
            "gitVersion": "v1.36.3+sim",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "rustc",
            "platform": "linux/amd64",
        }),
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["apis"] => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups()}),
        ["apis", group] => groups().into_iter().find(|one| one["name"] == *group)?,
        ["api", version] => resources("", version)?,
        ["apis", group, version] => resources(group, version)?,
        _ => return None,
    };
    Some(Json(document).into_response())
}

fn groups() -> Vec<Value> {
    let mut names: Vec<_> = RESOURCES
        .iter()
        .map(|resource| (resource.group, resource.version))
        .collect();
    names.push(("authorization.k8s.io", "v1"));
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, version)| {
            let served = json!({"groupVersion": format!("{group}/{version}"), "version": version});
            json!({
                "kind": "APIGroup",
                "apiVersion": "v1",
                "name": group,
                "versions": [served],
                "preferredVersion": served,
            })
        })
        .collect()
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let mut described: Vec<Value> = RESOURCES
        .iter()
        .filter(|resource| resource.group == group && resource.version == version)
        .flat_map(|resource| resource.described())
        .collect();
    if group == "authorization.k8s.io" {
        described.push(json!({
            "name": "selfsubjectaccessreviews",
            "singularName": "selfsubjectaccessreview",
            "namespaced": false,
            "kind": "SelfSubjectAccessReview",
            "verbs": ["create"],
        }));
    }
    if described.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": described,
    }))
}
