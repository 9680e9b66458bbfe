//! Holdfast: continuous health monitoring and automatic rollback for multi-tenant Kubernetes.
//!
//! *Test everything; hold fast to what is good.* Read ARCHITECTURE.md first, then [`domain`].

pub mod domain;

pub mod cluster;
pub mod config;
pub mod http;
pub mod notify;
pub mod probe;
pub mod store;
pub mod telemetry;
pub mod wire;

pub mod daemon;
pub mod replay;

pub mod cli;
pub mod clock;

#[cfg(feature = "demo")]
pub mod sim;
