//! Every path that is answered, in one table: it makes the router, and `docs/api.md` is held against it.

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodRouter, any, get, post};

use super::problem::Problem;
use super::server::App;
use super::{api, exposition, health, page};

/// One row of the table.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// The path, with its variable parts in braces.
    pub path: &'static str,
    answer: fn() -> MethodRouter<App>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

macro_rules! routes {
    ($($method:ident $path:literal => $answer:path;)*) => {
        &[$(Route {
            method: routes!(@method $method),
            path: $path,
            answer: || $method($answer),
        }),*]
    };
    (@method get) => { Method::GET };
    (@method post) => { Method::POST };
}

/// Everything that is answered.
pub const ROUTES: &[Route] = routes! {
    get "/" => page::home::page;
    get "/alerts/{id}" => page::alert::page;
    get "/decisions/{id}" => page::decision::page;

    get "/livez" => health::livez;
    get "/readyz" => health::readyz;
    get "/health" => health::livez;
    get "/ready" => health::readyz;
    get "/status" => health::status;
    get "/metrics" => exposition::metrics;
    post "/-/reload" => health::reload;

    get "/api/v1/tenants" => api::tenants::list;
    get "/api/v1/tenants/{tenant}" => api::tenants::one;
    get "/api/v1/probes" => api::probes::list;
    post "/api/v1/probes/{tenant}/{probe}/run" => api::probes::run;
    get "/api/v1/objectives" => api::tenants::objectives;
    get "/api/v1/samples" => api::samples::list;
    get "/api/v1/alerts" => api::alerts::list;
    get "/api/v1/alerts/{id}" => api::alerts::one;
    post "/api/v1/alerts/{id}/ack" => api::alerts::acknowledge;
    post "/api/v1/alerts/{id}/resolve" => api::alerts::resolve;
    get "/api/v1/workloads" => api::workloads::list;
    get "/api/v1/workloads/{namespace}/{kind}/{name}" => api::workloads::one;
    get "/api/v1/rollouts" => api::workloads::rollouts;
    get "/api/v1/decisions" => api::decisions::list;
    get "/api/v1/decisions/{id}" => api::decisions::one;
    get "/api/v1/rollbacks" => api::rollbacks::list;
    post "/api/v1/rollbacks" => api::rollbacks::request;
    get "/api/v1/rollbacks/{id}" => api::rollbacks::one;
    get "/api/v1/deliveries" => api::deliveries::list;
    get "/api/v1/config" => api::config::show;
    post "/api/v1/heartbeats/{tenant}/{probe}" => api::probes::heartbeat;
};

/// What is promised and not built yet: said so, rather than denied.
pub const PLANNED: &[&str] = &[
    "/api/v1/openapi.json",
    "/api/v1/decisions/{id}/approve",
    "/api/v1/decisions/{id}/reject",
    "/api/v1/silences",
    "/api/v1/silences/{id}",
    "/api/v1/freezes",
    "/api/v1/freezes/{id}",
    "/api/v1/events",
    "/api/v1/gate/{namespace}/{kind}/{name}/proceed",
    "/api/v1/gate/{namespace}/{kind}/{name}/rollback",
    "/api/v1/gate/{namespace}/{kind}/{name}/verdict",
    "/api/v1/monitoring/{*rest}",
];

pub(super) fn router() -> Router<App> {
    let answered = ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, (route.answer)())
    });
    PLANNED
        .iter()
        .fold(answered, |router, path| router.route(path, any(not_yet)))
}

async fn not_yet(request: Request) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-supported-yet",
        format!("not supported yet: {}", request.uri().path()),
    )
}
