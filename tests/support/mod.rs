//! The test world: real processes on loopback, made to be shared by every story.
//!
//! ```text
//!   story ── Daemon ──► FaultProxy ──► ControlPlane   (etcd, kube-apiserver, kube-controller-manager)
//!               │  └──► FaultProxy ──► Prometheus
//!               └─────► Receiver, SlackStandIn        (what people would have been told)
//! ```
//!
//! Everything that is a process hangs on a `Process`, which cannot outlive the test process, however
//! that ends. The control plane is started once for a test run, each story has a namespace of its own.
//! Data and logs are below `target/tmp/world-PID` and stay until the next run, for whoever has to find
//! out what happened.
//!
//! Absent on purpose: nodes and pods (they come with the simulated cluster), and any sleep as a way of
//! waiting: see `eventually`.

pub mod assets;
pub mod audit;
pub mod backend;
pub mod configmap;
pub mod controlplane;
pub mod daemon;
pub mod doorway;
pub mod eventually;
pub mod faults;
pub mod kubectl;
pub mod nameserver;
pub mod process;
pub mod prometheus;
pub mod receiver;
pub mod slack;
