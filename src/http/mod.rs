//! Mechanism: answer questions, take commands. API v1, metrics, health, the page.
//!
//! One table ([`routes::ROUTES`]) makes the router, and a test holds `docs/api.md` against it. Reading is
//! open; writing is taken only from this machine (`writing`). Every error leaves as a problem of
//! RFC 9457, wherever it comes from. The server knows the daemon only as a [`desk::Desk`].
//!
//! Deliberately absent: TLS and tokens (a proxy's or a later room's business), JavaScript, and any
//! state of its own: what is shown is read when it is asked for.

pub mod desk;
pub mod problem;
pub mod routes;
pub mod server;
pub mod shape;

mod advice;
mod api;
mod asking;
mod exposition;
mod health;
mod page;
mod paging;
mod process;
mod writing;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use exposition::NAMES as SCRAPED;
