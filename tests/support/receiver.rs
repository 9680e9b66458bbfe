//! A receiver of webhooks that keeps everything it got and misbehaves on demand.
//!
//! It counts by `Idempotency-Key`, as a receiver that does its work once would: the second post of a
//! key is a retry and not a second message. What a misbehaving receiver did not accept is kept as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::doorway;
use super::eventually::eventually;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Ok,
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    TooMany {
        retry_after_seconds: u64,
    },
    /// Reads the request and never answers.
    Hang,
    /// Answers 200 and promises a body, sends some of it and closes.
    CloseMidBody,
    /// Reads the request and closes without a word.
    CloseUnanswered,
    /// Answers 200, but late.
    Slow(Duration),
}

/// One post as it arrived.
#[derive(Clone, Debug)]
pub struct Post {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether it was answered with 200: the receiver has it, as far as the sender can know.
    pub accepted: bool,
}

impl Post {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn idempotency_key(&self) -> Option<&str> {
        self.header("idempotency-key")
    }
}

/// What a handler decides about a post that the behaviour lets through: status and body.
pub type Check = fn(&Post) -> (u16, String);

struct Shared {
    posts: Mutex<Vec<Post>>,
    behaviour: Mutex<Behaviour>,
    check: Check,
}

pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    down: CancellationToken,
    /// While it is down: the address, refusing.
    held: Option<TcpSocket>,
    tasks: JoinSet<()>,
}

impl Receiver {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::start_checking(|_| (200, String::new())).await
    }

    /// Starts one that answers as `check` says, as long as it behaves.
    pub async fn start_checking(check: Check) -> Self {
        let (listener, address) = doorway::open_somewhere().await;
        let shared = Arc::new(Shared {
            posts: Mutex::default(),
            behaviour: Mutex::new(Behaviour::Ok),
            check,
        });
        let tasks = JoinSet::new();
        let down = CancellationToken::new();
        let mut receiver = Self {
            address,
            shared,
            down,
            held: None,
            tasks,
        };
        receiver.serve(listener);
        receiver
    }

    /// For a `FaultProxy` in front of it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self
            .shared
            .behaviour
            .lock()
            .expect("nobody panics holding it") = behaviour;
    }

    /// Stops listening and ends every connection; from now on connections are refused.
    pub async fn go_down(&mut self) {
        if self.held.is_none() {
            self.down.cancel();
            while self.tasks.join_next().await.is_some() {}
            self.held = Some(doorway::hold(self.address));
        }
    }

    /// Listens again, at the same address.
    pub fn come_up(&mut self) {
        if let Some(held) = self.held.take() {
            self.serve(doorway::open(held));
        }
    }

    /// Every post, in order of arrival, accepted or not.
    pub fn posts(&self) -> Vec<Post> {
        self.shared
            .posts
            .lock()
            .expect("nobody panics holding it")
            .clone()
    }

    /// What arrived and was accepted.
    pub fn accepted(&self) -> Vec<Post> {
        self.posts()
            .into_iter()
            .filter(|post| post.accepted)
            .collect()
    }

    /// How often each idempotency key was accepted. A post without a key is an error of the sender.
    pub fn accepted_by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for post in self.accepted() {
            let key = post
                .idempotency_key()
                .expect("every post names its delivery")
                .to_owned();
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// The accepted posts, one for each key: what a receiver that works once per key has done.
    pub fn messages(&self) -> Vec<Post> {
        let mut seen = std::collections::BTreeSet::new();
        let is_new = |post: &Post| {
            post.idempotency_key()
                .is_none_or(|key| seen.insert(key.to_owned()))
        };
        self.accepted().into_iter().filter(is_new).collect()
    }

    /// Waits for a message that `wanted` recognises by its JSON body.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Post {
        eventually(what, within, || async {
            let posts = self.posts();
            let found = posts
                .iter()
                .find(|post| post.accepted && wanted(&post.json()));
            found.cloned().ok_or_else(|| {
                let bodies: Vec<_> = posts
                    .iter()
                    .map(|post| (post.accepted, &post.body))
                    .collect();
                format!("{} posts (accepted, body): {bodies:?}", posts.len())
            })
        })
        .await
    }

    fn serve(&mut self, listener: TcpListener) {
        self.down = CancellationToken::new();
        let router = Router::new()
            .fallback(receive)
            .with_state((Arc::clone(&self.shared), self.down.clone()));
        let signal = self.down.clone().cancelled_owned();
        self.tasks.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(signal)
                .await
                .expect("serving on a bound socket does not fail");
        });
    }
}

async fn receive(
    State((shared, down)): State<(Arc<Shared>, CancellationToken)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let behaviour = shared
        .behaviour
        .lock()
        .expect("nobody panics holding it")
        .clone();
    let mut post = Post {
        at: Instant::now(),
        path: uri.path().to_owned(),
        headers,
        body,
        accepted: false,
    };
    let (status, text) = (shared.check)(&post);
    post.accepted = matches!(behaviour, Behaviour::Ok | Behaviour::Slow(_)) && status == 200;
    let keep = |post| {
        shared
            .posts
            .lock()
            .expect("nobody panics holding it")
            .push(post)
    };
    match behaviour {
        Behaviour::Ok => {
            keep(post);
            respond(status, Body::from(text))
        }
        Behaviour::Status(code) => {
            keep(post);
            respond(code, Body::from("misbehaving on demand"))
        }
        Behaviour::TooMany {
            retry_after_seconds,
        } => {
            keep(post);
            let mut response = respond(429, Body::from("rate_limited"));
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after_seconds.into());
            response
        }
        Behaviour::Hang => {
            keep(post);
            down.cancelled().await;
            respond(503, Body::empty())
        }
        Behaviour::CloseMidBody => {
            keep(post);
            let mut response = respond(200, half_a_body());
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, 100.into());
            response
        }
        Behaviour::CloseUnanswered => {
            keep(post);
            respond(200, Body::from_stream(futures::stream::iter([broken()])))
        }
        Behaviour::Slow(delay) => {
            tokio::time::sleep(delay).await;
            keep(post);
            respond(status, Body::from(text))
        }
    }
}

fn respond(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a story names a real status");
    response
}

/// A body that breaks off: hyper drops the connection at its error, and what it has not sent by then
/// with it. So the error comes only when head and half have left.
fn half_a_body() -> Body {
    let half = futures::stream::iter([Ok(Bytes::from_static(b"half"))]);
    let end = futures::stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        broken()
    });
    Body::from_stream(half.chain(end))
}

fn broken() -> Result<Bytes, std::io::Error> {
    Err(std::io::Error::other("closed on demand"))
}
