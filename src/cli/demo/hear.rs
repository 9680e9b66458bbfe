//! Somebody who is told: a webhook receiver that shows what it gets.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One message as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// firing or resolved.
    pub status: String,
    /// The alert's name.
    pub alertname: String,
    /// The message's first line.
    pub summary: String,
}

/// The receiver; it stops when it is dropped.
pub struct Hearer {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    _serving: JoinSet<()>,
}

// === impl Hearer ===

impl Hearer {
    /// Listens on a free port.
    ///
    /// # Errors
    /// If none can be had.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new()
            .route("/", post(hear))
            .with_state(heard.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the demo's receiver failed");
            }
        });
        Ok(Self {
            url,
            heard,
            _serving: serving,
        })
    }

    /// Where to send.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What came so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn hear(State(heard): State<Arc<Mutex<Vec<Heard>>>>, Json(body): Json<Value>) {
    let text = |path: &str| {
        body.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let message = Heard {
        status: text("/status"),
        alertname: text("/alerts/0/labels/alertname"),
        summary: text("/alerts/0/annotations/summary"),
    };
    super::story::say(&format!(
        "  message delivered [{}] {}",
        message.status, message.summary
    ));
    heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(message);
}
