//! Being built.

pub mod check;
pub mod config_show;
