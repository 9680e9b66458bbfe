//! Probe kind `http`: one request on a new connection, each phase with its own time.
//!
//! Driven by hand over `hyper`: a client with a pool hides the phases that matter here and keeps the
//! connections that a probe is there to open. No task is spawned for a look: the connection is polled
//! beside the request that it carries (`exchange`). What a healthy answer looks like is held against it
//! in `expect`.
//!
//! Deliberately absent: proxies, cookies, compression, HTTP/2, connection reuse.

use std::sync::Arc;

use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::{Method, StatusCode, Uri};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use url::Url;

use super::attempt::{Attempt, Found, Progress};
use super::connect::{Endpoint, Resolver, stream_fault};
use super::means::{Means, USER_AGENT};
use super::secret;
use crate::domain::observation::{Fault, Stage};
use crate::domain::target::{self, HttpTarget, SecretRef};
use crate::domain::time::Timestamp;

mod exchange;
mod expect;

use exchange::Answer;
use expect::Expectation;

/// Bytes of a body that are read: more than a health page has, little enough that 256 looks at a time
/// cannot fill the memory.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Everything about one target that can be made ready before the first look.
pub(super) struct HttpLook {
    first: Hop,
    method: Method,
    headers: HeaderMap,
    secrets: Vec<(HeaderName, SecretRef)>,
    body: Bytes,
    expectation: Expectation,
    redirects_max: u32,
    means: Means,
    resolver: Resolver,
}

/// Where one request goes.
#[derive(Clone)]
struct Hop {
    url: Url,
    endpoint: Endpoint,
    /// For `https`: the name that the certificate must carry.
    server: Option<ServerName<'static>>,
    host: HeaderValue,
    uri: Uri,
}

// === impl Hop ===

impl Hop {
    fn try_new(url: Url) -> Result<Self, Arc<str>> {
        let host = url.host_str().ok_or("the URL has no host")?;
        let server = match url.scheme() {
            "http" => None,
            "https" => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(bare.to_owned())
                    .map_err(|_| "the host is no valid name for TLS")?;
                Some(name)
            }
            _ => return Err("the URL is neither http nor https".into()),
        };
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self {
            endpoint: Endpoint::new(host, port),
            server,
            host: HeaderValue::from_str(&authority).map_err(|_| "the host is not valid")?,
            uri: path.parse().map_err(|_| "the path is not valid")?,
            url,
        })
    }

    fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }
}

// === impl HttpLook ===

impl HttpLook {
    pub(super) fn try_new(target: &HttpTarget, means: &Means) -> Result<Self, Arc<str>> {
        let url =
            Url::parse(&target.url).map_err(|error| format!("the URL is not valid: {error}"))?;
        let method = Method::from_bytes(target.method.as_bytes())
            .map_err(|_| format!("`{}` is no method", target.method))?;
        let mut headers = HeaderMap::with_capacity(target.headers.len() + 4);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        // One request a connection: the target need not wait for a second one.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let mut secrets = Vec::new();
        for (name, value) in &target.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is no header name"))?;
            match value {
                target::HeaderValue::Plain(text) => {
                    let value = HeaderValue::from_str(text)
                        .map_err(|_| format!("the value of header `{name}` is not valid"))?;
                    headers.insert(name, value);
                }
                target::HeaderValue::Secret(secret) => secrets.push((name, secret.clone())),
            }
        }
        Ok(Self {
            first: Hop::try_new(url)?,
            method,
            headers,
            secrets,
            body: target.body.clone().map(Bytes::from).unwrap_or_default(),
            expectation: Expectation::try_new(target)?,
            redirects_max: target.redirects_max,
            means: means.clone(),
            resolver: means.resolver().clone(),
        })
    }

    async fn headers(&self) -> Result<HeaderMap, Fault> {
        let mut headers = self.headers.clone();
        for (name, secret) in &self.secrets {
            let text = secret::read(secret).await?;
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                Fault::Local(format!("the secret of header `{name}` is not valid in one").into())
            })?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }

    /// Sends one request on a connection of its own.
    async fn send(
        &self,
        hop: &Hop,
        request: ::http::Request<exchange::Body>,
        progress: &mut Progress,
    ) -> Result<Answer, Fault> {
        let stream = hop.endpoint.open(&self.resolver, progress).await?;
        let wanted = self.expectation.reads_body();
        let Some(server) = &hop.server else {
            return exchange::exchange(stream, request, wanted, progress).await;
        };
        let tls = self.means.tls().map_err(Fault::Local)?;
        progress.enter(Stage::Tls);
        let stream = tls
            .connect(server.clone(), stream)
            .await
            .map_err(|error| tls_fault(&error))?;
        exchange::exchange(stream, request, wanted, progress).await
    }
}

impl Attempt for HttpLook {
    async fn attempt(&self, _now: Timestamp, progress: &mut Progress) -> Result<Found, Fault> {
        let mut headers = self.headers().await?;
        let mut method = self.method.clone();
        let mut body = self.body.clone();
        let mut moved: Option<Hop> = None;
        let mut left = self.redirects_max;
        loop {
            let hop = moved.as_ref().unwrap_or(&self.first);
            let next_headers = if left > 0 {
                headers.clone()
            } else {
                HeaderMap::new()
            };
            let request = request(hop, &method, std::mem::take(&mut headers), body.clone());
            let answer = self.send(hop, request, progress).await?;
            let next = match location(&answer).filter(|_| left > 0) {
                Some(location) => follow(hop, location)?,
                None => {
                    progress.enter(Stage::Expect);
                    return self.expectation.hold(&answer).map(Found::Look);
                }
            };
            left -= 1;
            headers = next_headers;
            if !next.same_origin(hop) {
                // What was meant for the target is not shown to where it points.
                for (name, _) in &self.secrets {
                    headers.remove(name);
                }
                for name in [header::AUTHORIZATION, header::COOKIE, header::HOST] {
                    headers.remove(name);
                }
            }
            if changes_to_get(answer.status, &method) {
                method = Method::GET;
                body = Bytes::new();
                headers.remove(header::CONTENT_TYPE);
            }
            moved = Some(next);
        }
    }
}

fn request(
    hop: &Hop,
    method: &Method,
    mut headers: HeaderMap,
    body: Bytes,
) -> ::http::Request<exchange::Body> {
    headers
        .entry(header::HOST)
        .or_insert_with(|| hop.host.clone());
    let mut request = ::http::Request::new(exchange::Body::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = hop.uri.clone();
    *request.headers_mut() = headers;
    request
}

fn location(answer: &Answer) -> Option<&HeaderValue> {
    let redirects = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    redirects
        .then(|| answer.headers.get(header::LOCATION))
        .flatten()
}

/// An answer that cannot be followed is a wrong answer.
fn follow(from: &Hop, location: &HeaderValue) -> Result<Hop, Fault> {
    let wrong = || Fault::Protocol("the redirect leads nowhere".into());
    let location = location.to_str().map_err(|_| wrong())?;
    let url = from.url.join(location).map_err(|_| wrong())?;
    Hop::try_new(url).map_err(|_| wrong())
}

/// RFC 9110, 15.4: 303 always asks anew with GET; for 301 and 302 of a POST everybody does.
fn changes_to_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        303 => method != Method::HEAD,
        301 | 302 => method == Method::POST,
        _ => false,
    }
}

fn tls_fault(error: &std::io::Error) -> Fault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Fault::Tls(format!("the certificate is not valid: {why}").into())
        }
        Some(other) => Fault::Tls(other.to_string().into()),
        None => stream_fault(error).unwrap_or_else(|| Fault::Tls(error.to_string().into())),
    }
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
