//! What a pod serves: business answers, `/health`, and `/metrics` in Prometheus' text.
//!
//! Errors are spread by an accumulator instead of drawn at random, so that a share of 20 % is
//! exactly one request in five and a story comes out the same each time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::time::Instant;

use super::image::Image;

/// Every how many requests the slow tail strikes, and how long it takes.
const SLOW_TAIL_EVERY: u64 = 20;
const SLOW_TAIL: Duration = Duration::from_secs(2);
/// Upper bounds of the duration histogram, in seconds: Prometheus' usual ones.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Who the app is: the labels of its metrics.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The pod's name.
    pub pod: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's label `tenant`, if it has one.
    pub tenant: Option<String>,
}

/// A running app's behaviour and what it has counted.
pub struct App {
    image: Image,
    identity: Identity,
    started: Instant,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    requests: u64,
    /// Per cent of an error that is due; an error is served when it reaches 100.
    error_due: u32,
    by_code: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

impl App {
    /// An app of the image, started at the given moment.
    pub fn new(image: Image, identity: Identity, started: Instant) -> Arc<Self> {
        Arc::new(Self {
            image,
            identity,
            started,
            counted: Mutex::default(),
        })
    }

    /// The routes of the app.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/metrics", get(metrics))
            .fallback(business)
            .with_state(self)
    }

    /// Decides how the next request goes: its code and how long it is held up.
    fn next(&self) -> (StatusCode, Duration) {
        let faults = self.image.faults_at(self.started.elapsed());
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.requests += 1;
        counted.error_due += faults.error_percent;
        let mut hold_up = faults.slow;
        if faults.has_slow_tail && counted.requests.is_multiple_of(SLOW_TAIL_EVERY) {
            hold_up += SLOW_TAIL;
        }
        if counted.error_due < 100 {
            return (StatusCode::OK, hold_up);
        }
        counted.error_due -= 100;
        (StatusCode::INTERNAL_SERVER_ERROR, hold_up)
    }

    fn count(&self, code: StatusCode, took: Duration) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.by_code.entry(code.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        counted.seconds += seconds;
        for (bound, count) in BUCKETS.iter().zip(&mut counted.buckets) {
            if seconds <= *bound {
                *count += 1;
            }
        }
    }

    fn labels(&self) -> String {
        let Identity {
            pod,
            namespace,
            tenant,
        } = &self.identity;
        let mut labels = String::new();
        let version = &self.image.version;
        let pairs = [
            ("pod", Some(pod)),
            ("namespace", Some(namespace)),
            ("version", Some(version)),
        ];
        for (name, value) in pairs.into_iter().chain([("tenant", tenant.as_ref())]) {
            if let Some(value) = value {
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                labels.push_str(&format!(",{name}=\"{value}\""));
            }
        }
        labels.trim_start_matches(',').to_owned()
    }

    /// The metrics in Prometheus' text format.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    fn exposition(&self) -> Result<String, std::fmt::Error> {
        let labels = self.labels();
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        writeln!(
            text,
            "# HELP http_requests_total Requests answered, by status code."
        )?;
        writeln!(text, "# TYPE http_requests_total counter")?;
        for code in [200, 500] {
            let count = counted.by_code.get(&code).copied().unwrap_or_default();
            writeln!(
                text,
                "http_requests_total{{code=\"{code}\",{labels}}} {count}"
            )?;
        }
        let name = "http_request_duration_seconds";
        writeln!(text, "# HELP {name} How long requests took.")?;
        writeln!(text, "# TYPE {name} histogram")?;
        let total: u64 = counted.by_code.values().sum();
        for (bound, count) in BUCKETS.iter().zip(&counted.buckets) {
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}")?;
        }
        writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}")?;
        writeln!(text, "{name}_sum{{{labels}}} {}", counted.seconds)?;
        writeln!(text, "{name}_count{{{labels}}} {total}")?;
        Ok(text)
    }
}

async fn business(State(app): State<Arc<App>>) -> Response {
    let began = Instant::now();
    let (code, hold_up) = app.next();
    if !hold_up.is_zero() {
        tokio::time::sleep(hold_up).await;
    }
    app.count(code, began.elapsed());
    let mut answer = json!({"version": app.image.version, "pod": app.identity.pod});
    if code != StatusCode::OK {
        answer["error"] = "this version fails".into();
    }
    (code, Json(answer)).into_response()
}

async fn health(State(app): State<Arc<App>>) -> Response {
    if app.image.faults_at(app.started.elapsed()).is_unready {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready").into_response();
    }
    (StatusCode::OK, "ok").into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.exposition() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_of_errors_is_exact_and_spread() {
        let app = App::new(
            Image::parse("shop:v2-err20"),
            Identity::default(),
            Instant::now(),
        );
        let codes: Vec<_> = (0..100).map(|_| app.next().0.as_u16()).collect();
        assert_eq!(codes.iter().filter(|code| **code == 500).count(), 20);
        for five in codes.chunks(5) {
            assert_eq!(
                five.iter().filter(|code| **code == 500).count(),
                1,
                "{codes:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn faults_begin_later() {
        let image = Image::parse("shop:v2-err100-later60");
        let app = App::new(image, Identity::default(), Instant::now());
        assert_eq!(app.next().0, StatusCode::OK);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(app.next().0, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_count_by_code_and_escape_labels() {
        let identity = Identity {
            pod: "web-1".to_owned(),
            namespace: "shop".to_owned(),
            tenant: Some("a\"b".to_owned()),
        };
        let app = App::new(Image::parse("shop:v1"), identity, Instant::now());
        app.count(StatusCode::OK, Duration::from_millis(30));
        app.count(StatusCode::INTERNAL_SERVER_ERROR, Duration::from_secs(3));
        let text = app.exposition().unwrap();
        let labels = r#"pod="web-1",namespace="shop",version="v1",tenant="a\"b""#;
        for line in [
            format!("http_requests_total{{code=\"200\",{labels}}} 1"),
            format!("http_requests_total{{code=\"500\",{labels}}} 1"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.05\"}} 1"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"5\"}} 2"),
            format!("http_request_duration_seconds_count{{{labels}}} 2"),
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
