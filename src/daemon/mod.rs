//! The joinery: the only room that knows all others. Loops at the edge of the pure machines.

pub mod leadership;
pub mod remediator;
pub mod tasks;
pub mod watcher;
