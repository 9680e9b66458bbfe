//! The joinery: the only room that knows all others. Loops at the edge of the pure machines.

pub mod janitor;
pub mod tasks;
