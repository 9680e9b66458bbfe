//! Threshold files to a valid configuration: raw (mirrors the files) → check (all faults at once, each
//! with file, line and column) → valid types.

pub mod settings;
