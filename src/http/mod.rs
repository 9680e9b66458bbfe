//! Mechanism: answer questions, take commands. API v1, metrics, health, the page.

pub mod desk;
