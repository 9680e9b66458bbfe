//! The test world proves itself before any story leans on it.

#[cfg(test)]
#[path = "support/mod.rs"]
mod support;

#[cfg(test)]
#[path = "world/plane.rs"]
mod plane;

#[cfg(test)]
#[path = "world/loopback.rs"]
mod loopback;
