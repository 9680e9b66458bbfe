//! A Kubernetes API server in the process, over plain HTTP on a loopback port.
//!
//! It keeps a handful of resources as JSON and behaves towards a client as the real one does where
//! a rollback daemon could notice: versions, conflicts, preconditions, generations, the status
//! subresource, watches that expire, garbage collection. Every request is written into an audit
//! list, and faults can be injected.
//!
//! Absent: authentication, authorization, admission, server-side apply, custom resources, tables,
//! paging (a list is always whole) and streaming lists (refused, as servers without the feature do).

mod audit;
mod defaults;
mod discovery;
mod fault;
mod patch;
mod refusal;
mod resource;
mod route;
mod selector;
mod serve;
mod store;
mod view;
mod watch;
mod write;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use audit::{Audit, AuditEntry};
pub use fault::{Effect, Fault, Meets};
pub use refusal::Refusal;
pub use resource::{
    CONFIG_MAPS, CONTROLLER_REVISIONS, CORE_EVENTS, DAEMON_SETS, DEPLOYMENTS, EVENTS, Generation,
    LEASES, NAMESPACES, NODES, PODS, REPLICA_SETS, RESOURCES, Resource, SECRETS, SERVICE_ACCOUNTS,
    SERVICES, STATEFUL_SETS,
};
pub use selector::Selector;
pub use store::{Change, Key, Store};
pub use write::{Deleted, Deletion, Form, Scope};

use crate::sim::Now;
use crate::sim::serving::Serving;

/// Changes a watch can look back on by default: far more than a demo makes in a minute.
pub const HISTORY_MAX: usize = 10_000;

/// A running API server; it stops when dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    _serving: Serving,
}

/// What every request sees.
struct Shared {
    store: Arc<Store>,
    audit: Audit,
    faults: fault::Faults,
    shutdown: CancellationToken,
    /// Ends the watches that are open; a child of `shutdown`.
    watches: Mutex<CancellationToken>,
}

impl ApiServer {
    /// Starts a server on a free loopback port, with the namespaces every cluster has.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(now: Now, history_max: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let store = Arc::new(Store::new(now, history_max));
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let namespace = json!({"metadata": {"name": name}});
            store
                .create(&NAMESPACES, "", &namespace)
                .map_err(io::Error::other)?;
        }
        let shutdown = CancellationToken::new();
        let shared = Arc::new(Shared {
            store,
            audit: Audit::default(),
            faults: fault::Faults::default(),
            watches: Mutex::new(shutdown.child_token()),
            shutdown,
        });
        let router = serve::router(Arc::clone(&shared));
        let serving = Serving::start(listener, router, shared.shutdown.clone());
        Ok(Self {
            shared,
            address,
            _serving: serving,
        })
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The objects behind the server.
    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    /// What was asked of the server.
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    /// Makes the server have a fault.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.faults.clear();
    }

    /// Ends every open watch, as a restart of the server would.
    pub fn break_watches(&self) {
        let watches = self.shared.watches.lock();
        let mut watches = watches.unwrap_or_else(PoisonError::into_inner);
        watches.cancel();
        *watches = self.shared.shutdown.child_token();
    }
}

impl Shared {
    fn watches(&self) -> CancellationToken {
        self.watches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
