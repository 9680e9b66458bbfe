//! How the configuration stands.

use axum::Json;
use axum::extract::State;

use crate::http::server::App;
use crate::http::shape::status::Config;

/// Hash, faults, lints.
pub(in crate::http) async fn show(State(app): State<App>) -> Json<Config> {
    Json((&app.desk.config()).into())
}
