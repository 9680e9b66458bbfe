//! An HTTP server on a listener that is already bound; it stops when dropped.

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running HTTP server.
pub(super) struct Serving {
    stop: CancellationToken,
    _accepting: JoinSet<()>,
}

impl Serving {
    /// Serves the router until the value is dropped or `stop` is cancelled.
    pub(super) fn start(listener: TcpListener, router: Router, stop: CancellationToken) -> Self {
        let stopped = stop.clone().cancelled_owned();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await;
            if let Err(error) = served {
                tracing::warn!(%error, "a simulated server stopped");
            }
        });
        Self {
            stop,
            _accepting: accepting,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Connections live in tasks of their own; the token makes them end after their request.
        self.stop.cancel();
    }
}
