//! How questions are read: paths, queries and bodies, each refusal a problem that says which word was wrong.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The query of a question; a parameter nobody knows is refused rather than ignored.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|error| Problem::bad_request(error.body_text()))
    }
}

/// The variable parts of a path, as text.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(path)| Self(path))
            .map_err(|error| Problem::bad_request(error.body_text()))
    }
}

/// A JSON body. Unlike a form, a browser cannot send one to a stranger without asking first.
pub(super) struct Told<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let media = value.split(';').next().unwrap_or_default().trim();
                media.eq_ignore_ascii_case("application/json")
            });
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            let code = if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                "too-large"
            } else {
                "bad-request"
            };
            Problem::new(error.status(), code, error.body_text())
        })?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "a body is sent as `Content-Type: application/json`",
            ));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))
    }
}

/// The address a request came from; none in a router that is called directly.
pub(super) fn peer(extensions: &axum::http::Extensions) -> Option<SocketAddr> {
    extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| *peer)
}

/// Reads one word of a question.
pub(super) fn read<T>(name: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse()
        .map_err(|error| Problem::bad_request(format!("`{name}`: {error}")))
}

/// Reads one word of a question that need not be there.
pub(super) fn read_some<T>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.map(|text| read(name, text)).transpose()
}

/// Reads a word out of a closed list.
pub(super) fn read_word<T: Copy>(
    name: &str,
    text: Option<&str>,
    words: &[(&'static str, T)],
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if let Some((_, word)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(Some(*word));
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(Problem::bad_request(format!(
        "`{name}` is one of {}, not `{text}`",
        known.join(", ")
    )))
}

/// Reads an id or a name out of a path: what cannot be one does not exist.
pub(super) fn find<T: FromStr>(what: &str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found(format!("there is no {what} `{}`", brief(text))))
}

/// Enough of a stranger's text to recognise it.
fn brief(text: &str) -> String {
    const LONG_ENOUGH: usize = 128;
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONG_ENOUGH)
        .collect()
}
