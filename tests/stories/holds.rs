//! When Holdfast holds: no patch, the named reason, told once.
