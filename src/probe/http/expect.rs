//! What a healthy answer looks like, compiled once; held against each answer.
//!
//! The texts say what was expected, and of the answer only the status: a body or a header may carry what
//! nobody should read in a message.

use std::fmt::Write as _;
use std::sync::Arc;

use ::http::{HeaderName, StatusCode};
use regex::bytes::Regex;
use serde_json::Value as Json;

use super::exchange::{Answer, Wanted};
use crate::domain::observation::Fault;
use crate::domain::target::{HttpTarget, JsonPath};
use crate::domain::value::Value;

/// Statuses that are good if nothing is said.
const STATUS_DEFAULT: (u16, u16) = (200, 299);

/// Everything that is stated must hold.
pub(super) struct Expectation {
    status: Vec<(u16, u16)>,
    contains: Option<String>,
    matches: Option<Regex>,
    json: Vec<(JsonPath, Json)>,
    headers: Vec<(HeaderName, Regex)>,
    value: Option<JsonPath>,
}

// === impl Expectation ===

impl Expectation {
    pub(super) fn try_new(target: &HttpTarget) -> Result<Self, Arc<str>> {
        let expect = &target.expect;
        let compiled = |pattern: &str| -> Result<Regex, Arc<str>> {
            Regex::new(pattern).map_err(|_| format!("`{pattern}` is no regular expression").into())
        };
        let mut json = Vec::with_capacity(expect.json.len());
        for (path, scalar) in &expect.json {
            let expected = serde_json::from_str(&scalar.0)
                .map_err(|_| format!("`{}` is no JSON scalar", scalar.0))?;
            json.push((path.clone(), expected));
        }
        let mut headers = Vec::with_capacity(expect.headers.len());
        for (name, pattern) in &expect.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is no header name"))?;
            headers.push((name, compiled(&format!(r"\A(?:{pattern})\z"))?));
        }
        Ok(Self {
            status: if expect.status.is_empty() {
                vec![STATUS_DEFAULT]
            } else {
                expect.status.clone()
            },
            contains: expect.body_contains.clone(),
            matches: expect.body_matches.as_deref().map(compiled).transpose()?,
            json,
            headers,
            value: target.value.clone(),
        })
    }

    /// Whether the body must be kept.
    pub(super) fn reads_body(&self) -> Wanted {
        let reads = self.contains.is_some()
            || self.matches.is_some()
            || self.value.is_some()
            || !self.json.is_empty();
        if reads {
            Wanted::Whole
        } else {
            Wanted::Passing
        }
    }

    /// Holds the answer against everything that is stated, the status first.
    pub(super) fn hold(&self, answer: &Answer) -> Result<Option<Value>, Fault> {
        let unexpected = |what: String| Fault::Unexpected(what.into());
        let status = answer.status.as_u16();
        let accepted = |(from, to): &(u16, u16)| (*from..=*to).contains(&status);
        if !self.status.iter().any(accepted) {
            return Err(unexpected(self.wrong_status(answer.status)));
        }
        for (name, pattern) in &self.headers {
            let Some(value) = answer.headers.get(name) else {
                return Err(unexpected(format!("the header `{name}` is missing")));
            };
            if !pattern.is_match(value.as_bytes()) {
                return Err(unexpected(format!(
                    "the header `{name}` is not as expected"
                )));
            }
        }
        if let Some(text) = &self.contains
            && !contains(&answer.body, text.as_bytes())
        {
            return Err(unexpected(format!("the body does not contain `{text}`")));
        }
        if let Some(pattern) = &self.matches
            && !pattern.is_match(&answer.body)
        {
            return Err(unexpected(format!("the body does not match `{pattern}`")));
        }
        if self.json.is_empty() && self.value.is_none() {
            return Ok(None);
        }
        let document: Json = serde_json::from_slice(&answer.body)
            .map_err(|_| unexpected("the body is not JSON".to_owned()))?;
        for (path, expected) in &self.json {
            if !at(&document, path).is_some_and(|actual| same(actual, expected)) {
                return Err(unexpected(format!(
                    "`{}` in the body is not {expected}",
                    path.0.join(".")
                )));
            }
        }
        let Some(path) = &self.value else {
            return Ok(None);
        };
        match at(&document, path).and_then(number) {
            Some(value) => Ok(Some(value)),
            None => Err(unexpected(format!(
                "`{}` in the body is not a number",
                path.0.join(".")
            ))),
        }
    }

    fn wrong_status(&self, status: StatusCode) -> String {
        let mut text = format!("status {}, expected ", status.as_u16());
        for (index, range) in self.status.iter().enumerate() {
            if index > 0 {
                text.push_str(" or ");
            }
            // Writing to a String cannot fail.
            let written = match *range {
                (from, to) if from == to => write!(text, "{from}"),
                (from, to) if from % 100 == 0 && to == from + 99 => {
                    write!(text, "{}xx", from / 100)
                }
                (from, to) => write!(text, "{from}-{to}"),
            };
            debug_assert!(written.is_ok());
        }
        text
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

fn at<'a>(document: &'a Json, path: &JsonPath) -> Option<&'a Json> {
    path.0.iter().try_fold(document, |place, key| match place {
        Json::Object(fields) => fields.get(key),
        Json::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// `1` and `1.0` are the same number.
fn same(actual: &Json, expected: &Json) -> bool {
    match (actual.as_f64(), expected.as_f64()) {
        (Some(actual), Some(expected)) => actual.total_cmp(&expected).is_eq(),
        _ => actual == expected,
    }
}

/// A number, a number in a string, or a truth as 1 and 0.
fn number(place: &Json) -> Option<Value> {
    let number = match place {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => text.trim().parse().ok()?,
        Json::Bool(truth) => f64::from(u8::from(*truth)),
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    };
    Value::try_new(number).ok()
}
