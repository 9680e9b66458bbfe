//! A small Kubernetes cluster in the process: API server, controllers, a node, and a misbehaving app.
//!
//! It is what `holdfast demo` shows its story on and what fast tests run against. The daemon under
//! it talks to it through the same client and the same HTTP as to a real cluster, so nothing of
//! Holdfast is replaced; nothing here imports the rest of Holdfast either.
//!
//! ```text
//!   kube::Client ──HTTP──► api (store, watches, audit, faults)
//!                           ▲  changes ▼
//!                      controllers: Deployment → ReplicaSet → Pod
//!                           ▲ HTTP
//!                          node: binds pods, runs each as an HTTP server (app) on 127.1.x.y
//!   traffic ──HTTP──► service proxy ──HTTP──► ready pods
//! ```
//!
//! The node, the service proxy and the traffic work against any API server: the tests use them with
//! the real one.

pub mod api;
pub mod app;
pub mod controllers;
pub mod image;
pub mod node;
mod object;
pub mod person;
mod pod;
pub mod service;
mod serving;
pub mod traffic;
pub mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;

/// Where the simulated cluster takes the time from; the caller has the clock.
pub type Now = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

pub use world::{SimCluster, SimError, SimOptions};
