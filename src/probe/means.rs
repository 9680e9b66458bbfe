//! What all probes share: the resolver's slots, the TLS set-up, the client for sources of metrics.
//!
//! One of each for the whole daemon: the operating system's roots alone take a megabyte and some
//! milliseconds to read, so they are read when the first probe needs them, and never again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::TlsConnector;

use super::connect::Resolver;

/// How Holdfast introduces itself to what it looks at.
pub(super) const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

/// Idle connections kept for each source of metrics: a source is asked by many probes, all the time.
const SOURCE_CONNECTIONS_IDLE: usize = 4;

/// Shared by all probes; cheap to clone.
#[derive(Clone)]
pub struct Means(Arc<Shared>);

struct Shared {
    resolver: Resolver,
    roots: Roots,
    tls: OnceLock<Result<TlsConnector, Arc<str>>>,
    sources: OnceLock<Result<reqwest::Client, Arc<str>>>,
}

enum Roots {
    System,
    Only(RootCertStore),
}

// === impl Means ===

impl Means {
    /// With the operating system's roots.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Roots::System)
    }

    /// Trusts these certificates only, instead of the operating system's.
    #[must_use]
    pub fn trusting_only(roots: RootCertStore) -> Self {
        Self::new(Roots::Only(roots))
    }

    fn new(roots: Roots) -> Self {
        Self(Arc::new(Shared {
            resolver: Resolver::new(),
            roots,
            tls: OnceLock::new(),
            sources: OnceLock::new(),
        }))
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    /// TLS for probes of targets. A failure (no roots on this machine) is Holdfast's own.
    pub(super) fn tls(&self) -> Result<&TlsConnector, Arc<str>> {
        self.0
            .tls
            .get_or_init(|| connector(&self.0.roots))
            .as_ref()
            .map_err(Arc::clone)
    }

    /// The client for sources of metrics. Looks bring their own deadline.
    pub(super) fn sources(&self) -> Result<&reqwest::Client, Arc<str>> {
        self.0
            .sources
            .get_or_init(|| {
                reqwest::Client::builder()
                    .user_agent(USER_AGENT)
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    .pool_max_idle_per_host(SOURCE_CONNECTIONS_IDLE)
                    .pool_idle_timeout(Duration::from_secs(90))
                    .build()
                    .map_err(|error| format!("the client for sources failed: {error}").into())
            })
            .as_ref()
            .map_err(Arc::clone)
    }
}

impl Default for Means {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Means")
    }
}

fn connector(roots: &Roots) -> Result<TlsConnector, Arc<str>> {
    let failed = |error: rustls::Error| -> Arc<str> { format!("no TLS: {error}").into() };
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let mut config = match roots {
        Roots::System => builder.with_platform_verifier().map_err(failed)?,
        Roots::Only(roots) => builder.with_root_certificates(roots.clone()),
    }
    .with_no_client_auth();
    // Each look is to prove that a full handshake works.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
