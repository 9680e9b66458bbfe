//! The test world proves itself before any story leans on it.

#[cfg(test)]
#[path = "support/mod.rs"]
#[expect(
    dead_code,
    reason = "the stories use the rest: the daemon, the other signals"
)]
mod support;

#[cfg(test)]
#[path = "world/plane.rs"]
mod plane;

#[cfg(test)]
#[path = "world/loopback.rs"]
mod loopback;

#[cfg(test)]
#[path = "world/processes.rs"]
mod processes;
