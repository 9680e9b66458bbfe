//! The joinery: the only room that knows all others. Loops at the edge of the pure machines.
//!
//! [`lifecycle`] starts everything and stops it again. [`driver`] runs a machine; [`hints`] wakes who has
//! something to do; [`leading`] holds what the leader alone runs.

pub mod desk;
pub mod dispatcher;
pub mod driver;
pub mod hints;
pub mod historian;
pub mod janitor;
pub mod leadership;
pub mod leading;
pub mod lifecycle;
pub mod narrator;
pub mod prober;
pub mod reloader;
pub mod remediator;
pub mod tasks;
pub mod watcher;
