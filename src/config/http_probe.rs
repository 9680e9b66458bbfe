//! `http:` of a probe: the request, and what a healthy answer looks like.

use std::collections::BTreeMap;

use super::read::{self, Fields, SecretKeys};
use super::sink::{Note, Place};
use super::yaml::{Entry, Kind, Node};
use crate::domain::target::{
    HeaderValue, HttpExpectation, HttpTarget, JsonPath, JsonScalar, SecretRef,
};

/// Redirects that `follow_redirects: true` follows, as browsers and curl would within reason.
const REDIRECTS: u32 = 10;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers whose value is a secret.
const SECRET_HEADERS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "x-auth-token",
];

/// Reads `http:`; `value` may also stand beside it.
pub(super) fn read(fields: Fields<'_>, beside: Option<&Entry>) -> Option<HttpTarget> {
    let address = fields.required("url", "for instance `http://api.shop.svc/health`");
    let address = address.and_then(|_| url(&fields, "url"));
    let method = method(&fields);
    let headers = headers(&fields);
    let body = fields.text("body").map(str::to_owned);
    let expect = fields
        .inner("expect", format!("`expect` of {}", fields.what()))
        .map(expectation)
        .unwrap_or_default();
    let value = value(&fields, beside);
    let redirects_max = redirects(&fields);
    fields.later(&["tls", "via"]);
    fields.done();
    Some(HttpTarget {
        url: address?,
        method,
        headers,
        body,
        expect,
        value,
        redirects_max,
    })
}

/// An absolute `http` or `https` URL without a password in it.
pub(super) fn url(fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let text = fields.text(key)?;
    let fault = |code, message: String| {
        fields.refuse(key, code, message);
        None
    };
    match url::Url::parse(text) {
        Err(error) => fault("bad-url", format!("not a URL: {error}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => fault(
            "bad-url",
            "a URL here begins with http:// or https://".to_owned(),
        ),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => {
            fault("bad-url", "the URL names no host".to_owned())
        }
        Ok(url) if url.password().is_some() || !url.username().is_empty() => fault(
            "secret-inline",
            "the URL carries a user or a password".to_owned(),
        ),
        Ok(_) => Some(text.to_owned()),
    }
}

fn method(fields: &Fields<'_>) -> String {
    let method = fields.text("method").unwrap_or("GET");
    if !METHODS.contains(&method) {
        let message = format!("`method` is one of {}", METHODS.join(", "));
        fields.refuse("method", "bad-value", message);
    }
    method.to_owned()
}

fn redirects(fields: &Fields<'_>) -> u32 {
    let Some(entry) = fields.entry("follow_redirects") else {
        return 0;
    };
    match entry.value.kind {
        Kind::Bool(true) => REDIRECTS,
        Kind::Bool(false) | Kind::Unknown => 0,
        Kind::Int(number @ 0..=50) => u32::try_from(number).unwrap_or(0),
        _ => {
            let message = "`follow_redirects` is true, false or a number up to 50".to_owned();
            fields.refuse("follow_redirects", "bad-value", message);
            0
        }
    }
}

/// `name: text`, or `name_file: PATH`, or `name_env: VARIABLE`.
fn headers(fields: &Fields<'_>) -> BTreeMap<String, HeaderValue> {
    let sink = fields.sink();
    let mut headers = BTreeMap::new();
    let Some(inner) = fields.inner("headers", format!("`headers` of {}", fields.what())) else {
        return headers;
    };
    for entry in inner.entries() {
        let (name, value) = if let Some(name) = entry.key.strip_suffix("_file") {
            let path = read::path(&entry.value, &entry.key, sink);
            (
                name,
                path.map(|path| HeaderValue::Secret(SecretRef::File(path))),
            )
        } else if let Some(name) = entry.key.strip_suffix("_env") {
            let variable = read::variable(entry, sink);
            (
                name,
                variable.map(|name| HeaderValue::Secret(SecretRef::Env(name))),
            )
        } else {
            if SECRET_HEADERS.contains(&entry.key.to_lowercase().as_str()) {
                sink.note(read::inline(entry.place, &entry.key));
            }
            let text = read::text(&entry.value, &entry.key, sink);
            if text.is_some_and(|text| http::HeaderValue::from_str(text).is_err()) {
                let message = format!(
                    "the value of header `{}` has characters no header can have",
                    entry.key
                );
                sink.note(Note::fault("bad-value", entry.value.place, message));
            }
            (
                entry.key.as_str(),
                text.map(|text| HeaderValue::Plain(text.to_owned())),
            )
        };
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            sink.note(Note::fault(
                "bad-name",
                entry.place,
                format!("`{name}` is not a header name"),
            ));
        }
        if let Some(value) = value {
            headers.insert(name.to_owned(), value);
        }
    }
    headers
}

fn value(fields: &Fields<'_>, beside: Option<&Entry>) -> Option<JsonPath> {
    let inside = fields.entry("value");
    if let (Some(inside), Some(beside)) = (inside, beside) {
        let note = Note::fault("duplicate-key", beside.place, "`value` stands twice");
        fields.sink().note(note.also(inside.place, "the other"));
    }
    let entry = inside.or(beside)?;
    let what = format!("`value` of {}", fields.what());
    let inner = Fields::open(&entry.value, entry.place, what, fields.sink())?;
    let json = inner.required(
        "json",
        "the path of a number in the answer, such as `queue.length`",
    );
    let path = json.and_then(|json| {
        let text = read::text(&json.value, "json", inner.sink())?;
        path(text, json.value.place, &inner)
    });
    inner.done();
    path
}

fn path(text: &str, place: Place, fields: &Fields<'_>) -> Option<JsonPath> {
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    if parts.iter().all(|part| !part.is_empty()) && !text.contains(['$', '[', ']']) {
        return Some(JsonPath(parts));
    }
    let note = Note::fault(
        "bad-value",
        place,
        format!("`{text}` is not a path into JSON"),
    );
    fields
        .sink()
        .note(note.hint("keys and indices with dots between, such as `items.0.ready`"));
    None
}

fn expectation(fields: Fields<'_>) -> HttpExpectation {
    let status = fields
        .entry("status")
        .map_or_else(Vec::new, |entry| statuses(&entry.value, &fields));
    // The default is said by silence, so that spelling it out changes nothing.
    let status = if status == [(200, 299)] {
        Vec::new()
    } else {
        status
    };
    let body_matches = fields.text("body_matches").map(|pattern| {
        regex(
            pattern,
            "body_matches",
            fields.entry("body_matches"),
            &fields,
        );
        pattern.to_owned()
    });
    let json = fields
        .entry("json")
        .map_or_else(Vec::new, |entry| json(entry, &fields));
    let headers = fields
        .inner("headers", format!("`headers` in {}", fields.what()))
        .map(|inner| expected_headers(&inner))
        .unwrap_or_default();
    let expect = HttpExpectation {
        status,
        body_contains: fields.text("body_contains").map(str::to_owned),
        body_matches,
        json,
        headers,
    };
    fields.done();
    expect
}

fn expected_headers(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for entry in fields.entries() {
        if let Some(pattern) = read::text(&entry.value, &entry.key, fields.sink()) {
            regex(pattern, &entry.key, Some(entry), fields);
            headers.insert(entry.key.to_lowercase(), pattern.to_owned());
        }
    }
    headers
}

fn regex(pattern: &str, key: &str, entry: Option<&Entry>, fields: &Fields<'_>) {
    if let Err(error) = regex::Regex::new(pattern) {
        let place = entry.map_or(fields.place, |entry| entry.value.place);
        fields.sink().note(bad_regex(key, place, &error));
    }
}

/// The fault of a regular expression, without the multi-line drawing that the library makes.
pub(super) fn bad_regex(key: &str, place: Place, error: &regex::Error) -> Note {
    let text = error.to_string();
    let why = text.lines().last().unwrap_or_default().trim();
    let why = why.strip_prefix("error: ").unwrap_or(why);
    Note::fault(
        "bad-regex",
        place,
        format!("`{key}` is not a regular expression: {why}"),
    )
}

fn json(entry: &Entry, fields: &Fields<'_>) -> Vec<(JsonPath, JsonScalar)> {
    let Some(map) = entry.value.map() else {
        if entry.value.kind != Kind::Unknown {
            read::wrong(
                &entry.value,
                "json",
                "a mapping of paths to values",
                fields.sink(),
            );
        }
        return Vec::new();
    };
    map.entries
        .iter()
        .filter_map(|entry| {
            let path = path(&entry.key, entry.place, fields)?;
            let scalar = match &entry.value.kind {
                Kind::Null => "null".to_owned(),
                Kind::Bool(value) => value.to_string(),
                Kind::Int(number) => number.to_string(),
                Kind::Float(number) => number.to_string(),
                Kind::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
                Kind::Unknown => return None,
                Kind::Seq(_) | Kind::Map(_) => {
                    read::wrong(&entry.value, &entry.key, "a single value", fields.sink());
                    return None;
                }
            };
            Some((path, JsonScalar(scalar)))
        })
        .collect()
}

/// `200`, `2xx`, `200-299`, or a list of these.
fn statuses(node: &Node, fields: &Fields<'_>) -> Vec<(u16, u16)> {
    let items = match &node.kind {
        Kind::Seq(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items
        .iter()
        .filter(|item| item.kind != Kind::Unknown)
        .filter_map(|item| {
            let range = status(item);
            if range.is_none() {
                let note = Note::fault("bad-value", item.place, "`status` is not a status of HTTP");
                fields
                    .sink()
                    .note(note.hint("write 200, 2xx or 200-299, or a list of these"));
            }
            range
        })
        .collect()
}

fn status(node: &Node) -> Option<(u16, u16)> {
    let valid = |number: u16| (100..=599).contains(&number).then_some(number);
    match &node.kind {
        Kind::Int(number) => {
            let number = valid(u16::try_from(*number).ok()?)?;
            Some((number, number))
        }
        Kind::Text(text) => {
            if let Some((from, to)) = text.split_once('-') {
                let (from, to) = (
                    valid(from.trim().parse().ok()?)?,
                    valid(to.trim().parse().ok()?)?,
                );
                return (from <= to).then_some((from, to));
            }
            let class: u16 = text.strip_suffix("xx")?.parse().ok()?;
            (1..=5)
                .contains(&class)
                .then_some((class * 100, class * 100 + 99))
        }
        _ => None,
    }
}

/// The keys of a webhook's signing secret.
pub(super) const SECRET: SecretKeys = SecretKeys {
    plain: "secret",
    file: "secret_file",
    env: "secret_env",
};
