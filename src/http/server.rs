//! The server: one listener, one router, limits on everything a stranger can use up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::asking::peer;
use super::desk::Desk;
use super::problem::{Problem, everywhere};
use super::{routes, writing};

/// The largest body anybody has a reason to send is a request of a rollback: a few hundred bytes.
const BODY_MAX: usize = 16 * 1024;
/// Questions answered at once: each may hold a store connection and a page of rows.
const ANSWERING_MAX: usize = 64;
/// How long a question waits for its turn before it hears 503.
const TURN: Duration = Duration::from_secs(2);
/// How long an answer may take. Running a probe on demand lasts as long as the probe's own timeout; nobody
/// who waits at a terminal waits longer than this.
const ANSWER: Duration = Duration::from_secs(60);
/// How long open requests may go on after the stop: a quarter of what Kubernetes gives the whole process.
const DRAIN: Duration = Duration::from_secs(5);

/// What answers need.
pub(super) struct Inner {
    pub(super) desk: Arc<dyn Desk>,
    pub(super) registry: Arc<Registry>,
    port: u16,
    turns: Semaphore,
}

/// What answers need; cheap to clone.
pub(super) type App = Arc<Inner>;

/// The server, before it listens.
pub struct Server {
    /// The daemon behind it.
    pub desk: Arc<dyn Desk>,
    /// The metrics that loops write.
    pub registry: Arc<Registry>,
}

// === impl Server ===

impl Server {
    /// Answers until `stop`, then finishes what is open for at most five seconds.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let port = listener.local_addr()?.port();
        let service = self
            .router(port)
            .into_make_service_with_connect_info::<SocketAddr>();
        let asked = stop.clone();
        let serving = axum::serve(listener, service)
            .with_graceful_shutdown(async move { asked.cancelled().await })
            .into_future();
        tokio::pin!(serving);
        // Biased: an end of the listener is seen before the stop that it may have caused.
        tokio::select! {
            biased;
            end = &mut serving => return end,
            () = stop.cancelled() => {}
        }
        match tokio::time::timeout(DRAIN, serving).await {
            Ok(end) => end,
            Err(_) => {
                tracing::warn!("some requests did not end in time; they are cut off");
                Ok(())
            }
        }
    }

    /// The router; `port` is the one that a Host header must name to write.
    pub fn router(self, port: u16) -> Router {
        let app: App = Arc::new(Inner {
            desk: self.desk,
            registry: self.registry,
            port,
            turns: Semaphore::new(ANSWERING_MAX),
        });
        routes::router()
            .fallback(nowhere)
            .method_not_allowed_fallback(not_so)
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(middleware::from_fn_with_state(app.clone(), gate))
            .layer(middleware::map_response(everywhere))
            .layer(middleware::map_response(sealed))
            .with_state(app)
    }
}

async fn nowhere(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
}

async fn not_so(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!(
            "{} is not answered at {}",
            request.method(),
            request.uri().path()
        ),
    )
}

/// Questions that must be answered however busy the server is: without them it is restarted, or unseen.
const ALWAYS: [&str; 5] = ["/livez", "/readyz", "/health", "/ready", "/metrics"];

/// Who may pass, how many at once, and how long.
async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !reads
        && let Err(problem) =
            writing::allowed(peer(request.extensions()), request.headers(), app.port)
    {
        return problem.into_response();
    }
    let turn = if ALWAYS.contains(&request.uri().path()) {
        None
    } else {
        match tokio::time::timeout(TURN, app.turns.acquire()).await {
            Ok(Ok(turn)) => Some(turn),
            Ok(Err(_)) | Err(_) => return busy(),
        }
    };
    let answer = tokio::time::timeout(ANSWER, next.run(request)).await;
    drop(turn);
    answer.unwrap_or_else(|_| {
        Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timed-out",
            "there was no answer in time; what was asked for may still happen",
        )
        .into_response()
    })
}

fn busy() -> Response {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "too many questions at once; ask again in a moment",
    );
    ([(header::RETRY_AFTER, "1")], problem).into_response()
}

/// Headers on every answer: nothing is sniffed, framed, scripted or kept.
async fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
