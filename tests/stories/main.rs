//! The stories: the real daemon against a real API server, with the rights of `k8s/` and none besides.
//!
//! Each has a namespace, a shop with customers, a receiver and a daemon of its own (`scene`); they
//! share one control plane and one node. A story ends with what must *not* have happened.

#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "other test binaries use the rest of the test world"
)]
mod support;

#[cfg(test)]
#[expect(
    dead_code,
    reason = "the scene offers more than the stories of today use"
)]
mod scene;

#[cfg(test)]
mod rollback;

#[cfg(test)]
mod holds;

#[cfg(test)]
mod race;

#[cfg(test)]
mod not_caused;

#[cfg(test)]
mod crash;

#[cfg(test)]
mod leaders;

#[cfg(test)]
mod blindness;

#[cfg(test)]
mod delivery;

#[cfg(test)]
mod reload;
