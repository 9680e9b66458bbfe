//! Stories of what is asked and answered.

mod answers;
mod scraping;
mod serving;
mod writes;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::fake::{self, FakeDesk};

pub(super) const PORT: u16 = 9811;

/// Somebody who asks a router.
pub(super) struct Asker {
    router: Router,
    pub(super) desk: Arc<FakeDesk>,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: String,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Asker {
    pub(super) fn of(desk: FakeDesk) -> Self {
        let (server, desk) = desk.server();
        Self {
            router: server.router(PORT),
            desk,
        }
    }

    pub(super) async fn afternoon() -> Self {
        Self::of(fake::afternoon().await)
    }

    /// Sends a request as it is, from this peer.
    pub(super) async fn send(&self, mut request: Request<Body>, peer: &str) -> Answer {
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let service = TowerToHyperService::new(self.router.clone());
        let response: Response<Body> = service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            kind: parts
                .headers
                .get("content-type")
                .map(|kind| kind.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.send(request, "192.0.2.7:40000").await
    }

    /// Posts as this machine itself.
    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header("host", format!("localhost:{PORT}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.send(request, "127.0.0.1:40000").await
    }
}
