//! Holdfast about itself: log set-up, and metrics as fields of typed structs.

pub mod log;
pub mod metrics;
