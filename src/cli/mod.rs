//! Being built.
pub mod probe;
