//! A request the API server refuses, and the `Status` object that says so.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::resource::Resource;
use super::store::Key;

/// Why a request was refused; the code, reason and message a real API server would answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, such as `Conflict`.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    details: Value,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: Value::Null,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = json!({"name": name, "group": resource.group, "kind": resource.plural});
        self
    }

    /// The object does not exist.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// No resource is served at the path.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", message)
    }

    /// An object of that name exists.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// The object changed since the writer read it.
    pub fn conflict(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; \
             please apply your changes to the latest version and try again",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// The whole object was sent with a uid it does not have; the sentence is the real server's, its
    /// storage's key included.
    pub fn replaced_another(key: &Key, seen: &str, is: &str) -> Self {
        let Key {
            resource,
            namespace,
            name,
        } = key;
        let path = [resource.plural, namespace, name]
            .join("/")
            .replace("//", "/");
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": StorageError: invalid object, Code: 4, \
             Key: /registry/{path}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
             UID in precondition: {seen}, UID in object meta: {is}",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A deletion named a uid the object does not have.
    pub fn deleted_another(resource: &Resource, name: &str, seen: &str, is: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the UID in the precondition ({seen}) \
             does not match the UID in record ({is}). The object might have been deleted and then \
             recreated",
            resource.qualified_kind()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A deletion named a version the object no longer has.
    pub fn deleted_older(resource: &Resource, name: &str, seen: &str, is: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the ResourceVersion in the precondition \
             ({seen}) does not match the ResourceVersion in record ({is}). The object might have \
             been modified",
            resource.qualified_kind()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A field has a value it must not have.
    pub fn invalid(resource: &Resource, name: &str, field: &str, problem: &str) -> Self {
        let message = format!(
            "{} \"{name}\" is invalid: {field}: {problem}",
            resource.qualified_kind()
        );
        let mut refusal = Self::new(422, "Invalid", message).about(resource, name);
        refusal.details["kind"] = resource.kind.into();
        refusal.details["causes"] =
            json!([{"reason": "FieldValueInvalid", "message": problem, "field": field}]);
        refusal
    }

    /// A patch cannot be applied to the object as it is.
    pub fn unprocessable(message: String) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// The request cannot be understood.
    pub fn bad_request(message: String) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The request may not be made.
    pub fn forbidden(message: String) -> Self {
        Self::new(403, "Forbidden", message)
    }

    /// The verb is not served for the resource.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", message)
    }

    /// The body has a type this server does not take.
    pub fn unsupported_media_type(content_type: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - this server does not take {content_type:?}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The history a watch asks for is gone.
    pub fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        )
    }

    /// The server is busy and wants to be asked later.
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        let message =
            "the server has received too many requests and has asked us to try again later";
        let mut refusal = Self::new(429, "TooManyRequests", message.to_owned());
        refusal.details = json!({"retryAfterSeconds": retry_after_seconds});
        refusal
    }

    /// The server cannot answer now.
    pub fn unavailable() -> Self {
        let message = "the server is currently unable to handle the request".to_owned();
        Self::new(503, "ServiceUnavailable", message)
    }

    /// The HTTP status code.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `Status` object of the answer.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
