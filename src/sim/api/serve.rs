//! Answering requests: read, meet faults, carry out, write down.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use futures::stream;
use serde_json::{Value, json};

use super::audit::AuditEntry;
use super::fault::{Call, Effect};
use super::refusal::Refusal;
use super::resource::PODS;
use super::route::{Route, Verb};
use super::selector::Selector;
use super::store::Key;
use super::view::View;
use super::watch::{self, WatchRequest};
use super::write::{Deleted, Deletion, Form, Scope};
use super::{Shared, discovery, patch};
use crate::sim::object::{set_metadata, text, uid};

/// The real server's limit for a request's body.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// How long a watch lasts that does not say so itself; the real server's least.
const WATCH_LASTS_SECONDS: u64 = 1800;

/// A request with everything read from it.
struct Asked {
    route: Route,
    query: HashMap<String, String>,
    content_type: String,
    view: View,
    body: Value,
}

/// The routes: one, for paths are read by hand.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(document) = discovery::answer(request.uri().path()) {
        return document;
    }
    let user_agent = header_text(request.headers(), header::USER_AGENT);
    let asked = match read(request).await {
        Ok(Read::Asked(asked)) => *asked,
        Ok(Read::AccessReview(review)) => return reviewed(&shared, review, &user_agent),
        Err(refusal) => return refused(&refusal),
    };
    let call = Call {
        verb: asked.route.verb.as_str(),
        resource: asked.route.resource.plural,
        name: &asked.route.name,
        user_agent: &user_agent,
    };
    let effect = shared.faults.meet(call);
    let response = match effect {
        None => Some(carry_out(&shared, &asked)),
        Some(Effect::LoseAnswer) => {
            let lost = carry_out(&shared, &asked);
            write_down(&shared, &asked, user_agent, lost.status().as_u16());
            return closed();
        }
        Some(Effect::Delay(while_)) => {
            tokio::time::sleep(while_).await;
            Some(carry_out(&shared, &asked))
        }
        Some(Effect::Refuse | Effect::Hang) => None,
        Some(Effect::TooManyRequests(seconds)) => Some(busy(seconds)),
        Some(Effect::Unavailable) => Some(refused(&Refusal::unavailable())),
        Some(Effect::Forbidden) => Some(refused(&forbidden(&asked.route))),
    };
    let code = response
        .as_ref()
        .map_or(0, |response| response.status().as_u16());
    write_down(&shared, &asked, user_agent, code);
    match response {
        Some(response) => response,
        None if effect == Some(Effect::Hang) => {
            shared.shutdown.cancelled().await;
            closed()
        }
        None => closed(),
    }
}

/// What a request turned out to be.
enum Read {
    Asked(Box<Asked>),
    /// A question for permissions: what no fault forbids is allowed.
    AccessReview(Value),
}

async fn read(request: Request) -> Result<Read, Refusal> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|error| Refusal::bad_request(format!("failed to read the body: {error}")))?;
    let content_type = header_text(&parts.headers, header::CONTENT_TYPE);
    let content_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let is_json = content_type.is_empty() || content_type.ends_with("json");
    if !bytes.is_empty() && !is_json {
        return Err(Refusal::unsupported_media_type(&content_type));
    }
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::bad_request(format!("failed to decode the body: {error}")))?
    };
    let path = parts.uri.path();
    if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        return Ok(Read::AccessReview(body));
    }
    let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
        .map_err(|error| Refusal::bad_request(format!("failed to read the query: {error}")))?
        .0;
    if query.contains_key("dryRun") {
        return Err(Refusal::bad_request("dryRun is not served here".to_owned()));
    }
    let watches = query
        .get("watch")
        .is_some_and(|watch| watch == "true" || watch == "1");
    let route = Route::parse(&parts.method, path, watches)?;
    let view = View::from_accept(&header_text(&parts.headers, header::ACCEPT));
    Ok(Read::Asked(Box::new(Asked {
        route,
        query,
        content_type,
        view,
        body,
    })))
}

fn carry_out(shared: &Shared, asked: &Asked) -> Response {
    let Asked { route, view, .. } = asked;
    let shown = |code: StatusCode, object: &Value| {
        (code, Json(view.object(&route.resource.shown(object)))).into_response()
    };
    let outcome = match route.verb {
        Verb::Get => get(shared, asked).map(|object| shown(StatusCode::OK, &object)),
        Verb::List => list(shared, asked),
        Verb::Watch => watch(shared, asked),
        Verb::Create if route.subresource == "binding" => bind(shared, asked),
        Verb::Create => create(shared, asked).map(|object| shown(StatusCode::CREATED, &object)),
        Verb::Update | Verb::Patch => {
            write(shared, asked).map(|object| shown(StatusCode::OK, &object))
        }
        Verb::Delete => delete(shared, asked),
        Verb::DeleteCollection => delete_collection(shared, asked),
    };
    outcome.unwrap_or_else(|refusal| refused(&refusal))
}

impl Asked {
    fn key(&self) -> Key {
        Key::new(self.route.resource, &self.route.namespace, &self.route.name)
    }

    fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    fn selector(&self) -> Result<Selector, Refusal> {
        Selector::parse(
            self.parameter("labelSelector"),
            self.parameter("fieldSelector"),
        )
    }

    fn scope(&self) -> Result<Scope, Refusal> {
        match self.route.subresource.as_str() {
            "" => Ok(Scope::Object),
            "status" if self.route.resource.has_status => Ok(Scope::Status),
            _ => Err(Refusal::no_such_path()),
        }
    }
}

fn get(shared: &Shared, asked: &Asked) -> Result<Arc<Value>, Refusal> {
    asked.scope()?;
    let object = shared.store.get(&asked.key());
    object.ok_or_else(|| Refusal::not_found(asked.route.resource, &asked.route.name))
}

fn selected(shared: &Shared, asked: &Asked) -> Result<(Vec<Value>, u64), Refusal> {
    let Route {
        resource,
        namespace,
        ..
    } = &asked.route;
    let selector = asked.selector()?;
    let (objects, version) = shared.store.list(resource, namespace);
    let shown = objects.iter().map(|object| resource.shown(object));
    Ok((
        shown.filter(|object| selector.matches(object)).collect(),
        version,
    ))
}

fn list(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    let (items, version) = selected(shared, asked)?;
    let resource = asked.route.resource;
    let list = asked
        .view
        .list(&resource.api_version(), resource.kind, items, version);
    Ok(Json(list).into_response())
}

fn watch(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    if asked.parameter("sendInitialEvents") == "true" {
        return Err(Refusal::unprocessable(
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: \
             sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
                .to_owned(),
        ));
    }
    let after =
        match asked.parameter("resourceVersion") {
            "" | "0" => None,
            version => Some(version.parse().map_err(|_| {
                Refusal::bad_request(format!("invalid resource version {version:?}"))
            })?),
        };
    let seconds = asked
        .parameter("timeoutSeconds")
        .parse()
        .unwrap_or(WATCH_LASTS_SECONDS);
    let request = WatchRequest {
        resource: asked.route.resource,
        namespace: asked.route.namespace.clone(),
        selector: asked.selector()?,
        view: asked.view,
        after,
        bookmarks: asked.parameter("allowWatchBookmarks") == "true",
        lasts: Duration::from_secs(seconds),
    };
    let body = watch::body(Arc::clone(&shared.store), request, shared.watches());
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn create(shared: &Shared, asked: &Asked) -> Result<Arc<Value>, Refusal> {
    let Route {
        resource,
        namespace,
        name,
        ..
    } = &asked.route;
    if !name.is_empty() || (resource.namespaced && namespace.is_empty()) {
        return Err(Refusal::method_not_allowed());
    }
    let object = whole(asked)?;
    shared.store.create(resource, namespace, &object)
}

/// The body as an object of the resource, in the form it is kept in.
fn whole(asked: &Asked) -> Result<Value, Refusal> {
    let Asked {
        route: Route {
            resource,
            namespace,
            ..
        },
        body,
        ..
    } = asked;
    let kind = text(body, "/kind");
    if !body.is_object() || (!kind.is_empty() && kind != resource.kind) {
        let message = format!(
            "the object provided is unrecognized (must be of type {})",
            resource.kind
        );
        return Err(Refusal::bad_request(message));
    }
    let inside = text(body, "/metadata/namespace");
    if !inside.is_empty() && inside != namespace {
        let message =
            "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(message.to_owned()));
    }
    Ok(resource.kept(body))
}

fn write(shared: &Shared, asked: &Asked) -> Result<Arc<Value>, Refusal> {
    let scope = asked.scope()?;
    let resource = asked.route.resource;
    if asked.route.verb == Verb::Update {
        let object = whole(asked)?;
        return shared
            .store
            .update(&asked.key(), scope, Form::Replace, |_| Ok(object));
    }
    shared
        .store
        .update(&asked.key(), scope, Form::Patch, |current| {
            let patched = patch::apply(&asked.content_type, &resource.shown(current), &asked.body)?;
            Ok(resource.kept(&patched))
        })
}

/// The scheduler's write: a pod gets its node, once.
fn bind(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    if asked.route.resource != &PODS {
        return Err(Refusal::no_such_path());
    }
    let node = text(&asked.body, "/target/name");
    let key = asked.key();
    shared
        .store
        .update(&key, Scope::Object, Form::Patch, |pod| {
            let bound = text(pod, "/spec/nodeName");
            if !bound.is_empty() {
                return Err(Refusal::conflict(&PODS, &key.name));
            }
            let mut pod = pod.clone();
            pod["spec"]["nodeName"] = node.into();
            Ok(pod)
        })?;
    let now = crate::sim::object::written(shared.store.now());
    shared
        .store
        .update(&key, Scope::Status, Form::Patch, |pod| {
            let mut pod = pod.clone();
            let scheduled =
                json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now});
            pod["status"]["conditions"] = json!([scheduled]);
            Ok(pod)
        })?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok((StatusCode::CREATED, Json(status)).into_response())
}

fn deletion(asked: &Asked) -> Deletion {
    let options = &asked.body;
    let said = |pointer: &str, parameter: &str| {
        let said = text(options, pointer);
        if said.is_empty() {
            asked.parameter(parameter).to_owned()
        } else {
            said.to_owned()
        }
    };
    let grace = options.get("gracePeriodSeconds").and_then(Value::as_i64);
    let optional = |pointer: &str| options.pointer(pointer)?.as_str().map(str::to_owned);
    Deletion {
        grace_seconds: grace.or_else(|| asked.parameter("gracePeriodSeconds").parse().ok()),
        orphan: said("/propagationPolicy", "propagationPolicy") == "Orphan",
        uid: optional("/preconditions/uid"),
        version: optional("/preconditions/resourceVersion"),
    }
}

fn delete(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    let resource = asked.route.resource;
    let answer = match shared.store.delete(&asked.key(), &deletion(asked))? {
        Deleted::Marked(object) => resource.shown(&object),
        Deleted::Gone(object) => json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {
                "name": asked.route.name,
                "group": resource.group,
                "kind": resource.plural,
                "uid": uid(&object),
            },
        }),
    };
    Ok(Json(answer).into_response())
}

fn delete_collection(shared: &Shared, asked: &Asked) -> Result<Response, Refusal> {
    let (items, version) = selected(shared, asked)?;
    let resource = asked.route.resource;
    for item in &items {
        match shared
            .store
            .delete(&Key::of(resource, item), &deletion(asked))
        {
            // It went with its owner, or by another hand.
            Err(refusal) if refusal.code == 404 => {}
            Err(refusal) => return Err(refusal),
            Ok(_) => {}
        }
    }
    let list = asked
        .view
        .list(&resource.api_version(), resource.kind, items, version);
    Ok(Json(list).into_response())
}

fn reviewed(shared: &Shared, mut review: Value, user_agent: &str) -> Response {
    if !review.is_object() {
        return refused(&Refusal::bad_request(
            "a SelfSubjectAccessReview is required".to_owned(),
        ));
    }
    let asked = |key: &str| text(&review, &format!("/spec/resourceAttributes/{key}")).to_owned();
    let (verb, resource, name) = (asked("verb"), asked("resource"), asked("name"));
    let call = Call {
        verb: &verb,
        resource: &resource,
        name: &name,
        user_agent,
    };
    let allowed = !shared.faults.forbids(call);
    set_metadata(&mut review, "creationTimestamp", Value::Null);
    review["status"] = json!({"allowed": allowed});
    (StatusCode::CREATED, Json(review)).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    (refusal.status_code(), Json(refusal.to_status())).into_response()
}

fn busy(seconds: u32) -> Response {
    let mut response = refused(&Refusal::too_many_requests(seconds));
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

fn forbidden(route: &Route) -> Refusal {
    let (verb, resource) = (route.verb.as_str(), route.resource.qualified());
    Refusal::forbidden(format!(
        "{resource} \"{}\" is forbidden: User \"sim\" cannot {verb} resource \"{resource}\" in the namespace \"{}\"",
        route.name, route.namespace
    ))
}

/// An answer that breaks before its first byte, which makes the server close the connection.
fn closed() -> Response {
    let broken = io::Error::new(io::ErrorKind::ConnectionReset, "closed on purpose");
    Response::new(Body::from_stream(stream::iter([Err::<Vec<u8>, _>(broken)])))
}

fn write_down(shared: &Shared, asked: &Asked, user_agent: String, code: u16) {
    let Asked {
        route,
        content_type,
        body,
        ..
    } = asked;
    shared.audit.record(AuditEntry {
        at: shared.store.now(),
        verb: route.verb.as_str(),
        resource: route.resource.plural,
        subresource: route.subresource.clone(),
        namespace: route.namespace.clone(),
        name: route.name.clone(),
        user_agent,
        field_manager: asked.parameter("fieldManager").to_owned(),
        content_type: content_type.clone(),
        body: body.clone(),
        code,
    });
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}
