//! From a method and a path to a verb on a resource.

use axum::http::Method;

use super::refusal::Refusal;
use super::resource::{NAMESPACES, Resource};

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) resource: &'static Resource,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

impl Route {
    /// Reads `/api/v1/…` and `/apis/{group}/{version}/…`.
    pub(super) fn parse(method: &Method, path: &str, watches: bool) -> Result<Self, Refusal> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::no_such_path()),
        };
        let (namespace, plural, rest) = match rest {
            // `namespaces/x/y` is a resource in a namespace unless y is a subresource of it.
            ["namespaces", name, sub @ ("status" | "finalize")] => {
                ("", "namespaces", &[*name, *sub][..])
            }
            ["namespaces", namespace, plural, rest @ ..] => (*namespace, *plural, rest),
            [plural, rest @ ..] => ("", *plural, rest),
            [] => return Err(Refusal::no_such_path()),
        };
        let resource = Resource::find(group, version, plural).ok_or_else(Refusal::no_such_path)?;
        let (name, subresource) = match rest {
            [] => ("", ""),
            [name] => (*name, ""),
            [name, subresource] => (*name, *subresource),
            _ => return Err(Refusal::no_such_path()),
        };
        let is_alone = !name.is_empty();
        if namespace.is_empty() && resource.namespaced && is_alone {
            return Err(Refusal::no_such_path());
        }
        let verb = verb(method, is_alone, watches).ok_or_else(Refusal::method_not_allowed)?;
        let namespace = if resource == &NAMESPACES {
            ""
        } else {
            namespace
        };
        Ok(Self {
            verb,
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}

fn verb(method: &Method, is_alone: bool, watches: bool) -> Option<Verb> {
    Some(match (method.as_str(), is_alone) {
        ("GET", true) => Verb::Get,
        ("GET", false) if watches => Verb::Watch,
        ("GET", false) => Verb::List,
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, path: &str, expected: &str) {
        let route = Route::parse(method, path, false).map_or_else(
            |refusal| refusal.code.to_string(),
            |route| {
                let Route {
                    verb,
                    resource,
                    namespace,
                    name,
                    subresource,
                } = route;
                format!(
                    "{} {} [{namespace}] [{name}] [{subresource}]",
                    verb.as_str(),
                    resource.plural
                )
            },
        );
        assert_eq!(route, expected, "{method} {path}");
    }

    #[test]
    fn paths_name_resources() {
        check(&Method::GET, "/api/v1/pods", "list pods [] [] []");
        check(
            &Method::GET,
            "/api/v1/namespaces/shop/pods/a",
            "get pods [shop] [a] []",
        );
        check(
            &Method::PATCH,
            "/apis/apps/v1/namespaces/shop/deployments/web/status",
            "patch deployments [shop] [web] [status]",
        );
        check(
            &Method::GET,
            "/api/v1/namespaces/shop",
            "get namespaces [] [shop] []",
        );
        check(
            &Method::PUT,
            "/api/v1/namespaces/shop/status",
            "update namespaces [] [shop] [status]",
        );
        check(
            &Method::POST,
            "/api/v1/namespaces/shop/pods/a/binding",
            "create pods [shop] [a] [binding]",
        );
        check(&Method::GET, "/apis/example.org/v1/things", "404");
        check(&Method::PUT, "/api/v1/namespaces/shop/pods", "405");
    }
}
