//! Somebody else changes the workload while Holdfast acts: nothing is overwritten.
