//! The platform against a real Kubernetes API server, with the rights of `k8s/` and none besides.

#[cfg(test)]
#[path = "support/mod.rs"]
#[expect(
    dead_code,
    reason = "the stories use the rest: the daemon, the other signals"
)]
mod support;

#[cfg(test)]
#[path = "platform/acting.rs"]
mod acting;

#[cfg(test)]
#[path = "platform/standing.rs"]
mod standing;
