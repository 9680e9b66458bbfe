//! What a tenant runs, as small as can be: it answers each path as a story wants it to, and counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::doorway;

/// How a path answers; good until a story says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// 200.
    #[default]
    Good,
    /// 500.
    Broken,
    /// 500 and 200 in turn.
    Half,
}

#[derive(Default)]
struct Place {
    health: Health,
    asked: Vec<Instant>,
}

type Places = Arc<Mutex<BTreeMap<String, Place>>>;

/// A running backend; it stops when dropped.
pub struct Backend {
    address: SocketAddr,
    places: Places,
    _serving: JoinSet<()>,
}

impl Backend {
    pub async fn start() -> Self {
        let (listener, address) = doorway::open_somewhere().await;
        let places = Places::default();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&places));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("serving on a bound socket does not fail");
        });
        Self {
            address,
            places,
            _serving: serving,
        }
    }

    /// For a `FaultProxy` in front of it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes how a path answers from now on.
    pub fn set(&self, path: &str, health: Health) {
        let mut places = self.places.lock().expect("nobody panics holding it");
        places.entry(path.to_owned()).or_default().health = health;
    }

    /// When a path was asked.
    pub fn asked(&self, path: &str) -> Vec<Instant> {
        let places = self.places.lock().expect("nobody panics holding it");
        places
            .get(path)
            .map(|place| place.asked.clone())
            .unwrap_or_default()
    }
}

async fn answer(State(places): State<Places>, uri: Uri) -> StatusCode {
    let mut places = places.lock().expect("nobody panics holding it");
    let place = places.entry(uri.path().to_owned()).or_default();
    place.asked.push(Instant::now());
    let is_bad = match place.health {
        Health::Good => false,
        Health::Broken => true,
        Health::Half => place.asked.len().is_multiple_of(2),
    };
    if is_bad {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    }
}
