//! Receivers that fail: everything is delivered in the end, and nobody waits for another.
