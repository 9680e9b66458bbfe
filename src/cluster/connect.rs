//! Finds the cluster and makes the clients for it.
//!
//! Two clients: one for calls, whose reads have a time limit, and one for watches, whose connections are
//! silent for minutes in good health. Neither retries by itself ([`call`](super::call) says why).

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the API server may be silent on a call. Longer than any call's own deadline, so that this ends
/// only connections that nobody waits for.
const SILENCE: Duration = Duration::from_secs(20);

/// Whether and where a cluster is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How much it is wanted.
    pub access: Wish,
    /// This file instead of the usual places.
    pub kubeconfig: Option<PathBuf>,
    /// This context instead of the current one.
    pub context: Option<String>,
}

/// How much a cluster is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// In-cluster, else kubeconfig, else none.
    Auto,
    /// Not at all.
    None,
    /// Without one, nothing starts.
    Required,
}

/// Why there are no clients. Each is a start fault.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// One is required, and no place that was looked at has one.
    #[error("a cluster is required, but there is neither a service account nor a kubeconfig")]
    NotFound,
    /// A kubeconfig was found or named and cannot be used.
    #[error("failed to read the kubeconfig")]
    Kubeconfig(#[source] KubeconfigError),
    /// The service account of the pod cannot be used.
    #[error("failed to read the service account of this pod")]
    InCluster(#[source] kube::config::InClusterError),
    /// The configuration is there, but no client can be made of it.
    #[error("failed to make a client")]
    Client(#[source] kube::Error),
}

/// Clients of one cluster.
#[derive(Clone)]
pub struct Clients {
    /// For calls.
    pub calls: kube::Client,
    /// For watches.
    pub watches: kube::Client,
    /// The namespace this process belongs to: its lease is there.
    pub namespace: String,
    /// Host and port of the API server, for the self-check of Holdfast's own network.
    pub address: String,
}

/// Finds a cluster. `None`: none is wanted, or none was found where that is good enough.
///
/// # Errors
/// If one is required and not found, or one was found and cannot be used.
pub async fn connect(wanted: &Wanted) -> Result<Option<Clients>, ConnectError> {
    let found = match wanted.access {
        Wish::None => return Ok(None),
        Wish::Auto | Wish::Required => find(wanted).await?,
    };
    match (found, wanted.access) {
        (Some(config), _) => clients(&config).map(Some),
        (None, Wish::Required) => Err(ConnectError::NotFound),
        (None, Wish::Auto | Wish::None) => Ok(None),
    }
}

/// Makes the clients from a configuration.
///
/// # Errors
/// If the certificates or keys in it cannot be used.
pub fn clients(config: &Config) -> Result<Clients, ConnectError> {
    let mut watches = config.clone();
    watches.default_retry = false;
    watches.connect_timeout = Some(CONNECT);
    watches.read_timeout = None;
    let mut calls = watches.clone();
    calls.read_timeout = Some(SILENCE);
    calls.reset_reader_on_write = true;
    Ok(Clients {
        calls: calls.try_into().map_err(ConnectError::Client)?,
        watches: watches.try_into().map_err(ConnectError::Client)?,
        namespace: config.default_namespace.clone(),
        address: address(config),
    })
}

fn address(config: &Config) -> String {
    let url = &config.cluster_url;
    let usual = if url.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    format!(
        "{}:{}",
        url.host().unwrap_or_default(),
        url.port_u16().unwrap_or(usual)
    )
}

async fn find(wanted: &Wanted) -> Result<Option<Config>, ConnectError> {
    // A file or a context that was named is meant: whatever is wrong with it is said, not worked around.
    if let Some(path) = &wanted.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(ConnectError::Kubeconfig)?;
        return from_file(file, wanted).await.map(Some);
    }
    if wanted.context.is_none() && Path::new(SERVICE_ACCOUNT).exists() {
        return Config::incluster()
            .map(Some)
            .map_err(ConnectError::InCluster);
    }
    match Kubeconfig::read() {
        Ok(file) => from_file(file, wanted).await.map(Some),
        Err(error) if absent(&error) && wanted.context.is_none() => Ok(None),
        Err(error) => Err(ConnectError::Kubeconfig(error)),
    }
}

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

async fn from_file(file: Kubeconfig, wanted: &Wanted) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions {
        context: wanted.context.clone(),
        ..Default::default()
    };
    Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(ConnectError::Kubeconfig)
}

fn absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(access: Wish, kubeconfig: Option<&Path>, context: Option<&str>) -> Wanted {
        Wanted {
            access,
            kubeconfig: kubeconfig.map(Path::to_path_buf),
            context: context.map(str::to_owned),
        }
    }

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: one
clusters: [{ name: c, cluster: { server: 'http://127.0.0.1:1' } }]
users: [{ name: u, user: {} }]
contexts:
  - { name: one, context: { cluster: c, user: u } }
  - { name: two, context: { cluster: c, user: u, namespace: second } }
";

    #[tokio::test]
    async fn none_is_none() {
        let nowhere = wanted(Wish::None, Some(Path::new("/nowhere")), None);
        assert!(connect(&nowhere).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_named_file_that_is_not_there_is_a_fault_even_where_none_is_required() {
        let missing = wanted(Wish::Auto, Some(Path::new("/nowhere/kubeconfig")), None);
        assert!(matches!(
            connect(&missing).await,
            Err(ConnectError::Kubeconfig(_))
        ));
    }

    #[tokio::test]
    async fn a_context_is_taken_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, FILE).unwrap();
        let clients = connect(&wanted(Wish::Required, Some(&path), Some("two"))).await;
        assert_eq!(clients.unwrap().unwrap().namespace, "second");
        let unknown = connect(&wanted(Wish::Auto, Some(&path), Some("three"))).await;
        assert!(matches!(unknown, Err(ConnectError::Kubeconfig(_))));
    }
}
