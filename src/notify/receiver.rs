//! Receivers on the loopback for the tests of the senders: one that speaks HTTP and keeps what it was
//! sent, and one that misbehaves below HTTP.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::message::tests::firing;
use crate::domain::delivery::{Delivery, DeliveryState, Message, Status, delivery_id};
use crate::domain::rollback::Term;
use crate::domain::time::Timestamp;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub headers: HeaderMap,
    pub body: String,
}

/// A local receiver; gone when dropped.
#[derive(Debug)]
pub struct Receiver {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

/// Status, headers, body.
pub type Answer = (u16, &'static [(&'static str, &'static str)], &'static str);

/// What happens on a bare connection after the request was read.
#[derive(Clone, Copy, Debug)]
pub enum Bare {
    /// These bytes are sent, then the connection is closed.
    Close(&'static [u8]),
    /// These bytes are sent, then nothing more, ever.
    Hang(&'static [u8]),
}

// === impl Receiver ===

impl Receiver {
    /// Gives this answer to every request.
    pub async fn http(answer: Answer) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let keep = Arc::clone(&seen);
        let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
            let body = String::from_utf8(body.to_vec()).unwrap();
            keep.lock().unwrap().push(Seen { headers, body });
            let (status, headers, text) = answer;
            let mut response = Response::new(text.to_owned());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/T0/sesame", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            seen,
            _tasks: tasks,
        }
    }

    /// Reads a request and then misbehaves.
    pub async fn bare(bare: Bare) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/T0/sesame", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 64 * 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                match bare {
                    Bare::Close(bytes) => stream.write_all(bytes).await.unwrap(),
                    Bare::Hang(bytes) => {
                        stream.write_all(bytes).await.unwrap();
                        open.push(stream);
                    }
                }
            }
        });
        Self {
            url,
            seen: Arc::default(),
            _tasks: tasks,
        }
    }

    /// An address on which nobody listens.
    pub async fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/T0/sesame", listener.local_addr().unwrap())
    }

    /// What arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub fn now() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

pub fn delivery(message: Message) -> Delivery {
    let receiver = "hook".parse().unwrap();
    Delivery {
        id: delivery_id(&receiver, message.thread, message.status, 1),
        receiver,
        message,
        order: 1,
        created: now(),
        due: now(),
        attempts: 0,
        term: Term(1),
        state: DeliveryState::Due,
    }
}

pub fn resolved() -> Message {
    Message {
        status: Status::Resolved,
        ends_at: Some("2026-01-05T09:04:10Z".parse().unwrap()),
        ..firing()
    }
}
