//! Being built.

pub mod alerts;
pub mod ask;
pub mod decisions;
pub mod explain;
pub mod rollback;
pub mod rollouts;
pub mod status;
pub mod table;

#[cfg(test)]
mod tests;
