//! A real control plane, when its binaries are at hand: `HOLDFAST_TEST_ASSETS` names their folder.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::process::{Child, Command};

use super::eventually;

/// Running servers; they are killed when the value is dropped.
pub(super) struct Plane {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    port: u16,
    children: Vec<Child>,
}

/// The folder of the binaries, if there is one.
pub(super) fn assets() -> Option<PathBuf> {
    std::env::var_os("HOLDFAST_TEST_ASSETS")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

impl Plane {
    pub(super) async fn start(binaries: &Path) -> Self {
        let [etcd, peer, port] = free_ports();
        let folder = tempfile::tempdir().unwrap();
        let mut plane = Self {
            folder,
            binaries: binaries.to_owned(),
            port,
            children: Vec::new(),
        };
        plane.start_etcd(etcd, peer);
        eventually("etcd listens", async || {
            TcpStream::connect(("127.0.0.1", etcd)).is_ok()
        })
        .await;
        plane.start_api_server(etcd);
        eventually("the API server is ready", async || plane.is_ready().await).await;
        plane.start_controllers();
        plane
    }

    fn start_etcd(&mut self, client: u16, peer: u16) {
        let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
        self.launch(
            "etcd",
            &[
                format!("--data-dir={}", self.at("etcd")),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                "--unsafe-no-fsync".to_owned(),
            ],
        );
    }

    fn start_api_server(&mut self, etcd: u16) {
        std::fs::write(self.at("tokens.csv"), "all,admin,admin,system:masters\n").unwrap();
        self.launch(
            "kube-apiserver",
            &[
                format!("--etcd-servers=http://127.0.0.1:{etcd}"),
                format!("--cert-dir={}", self.folder.path().display()),
                format!("--secure-port={}", self.port),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", self.at("apiserver.key")),
                format!(
                    "--service-account-signing-key-file={}",
                    self.at("apiserver.key")
                ),
                "--authorization-mode=RBAC".to_owned(),
                format!("--token-auth-file={}", self.at("tokens.csv")),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        );
        let server = format!("https://127.0.0.1:{}", self.port);
        let cluster = json!({"server": server, "certificate-authority": self.at("apiserver.crt")});
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "real",
            "clusters": [{"name": "real", "cluster": cluster}],
            "users": [{"name": "real", "user": {"token": "all"}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        });
        std::fs::write(self.at("kubeconfig"), kubeconfig.to_string()).unwrap();
    }

    fn start_controllers(&mut self) {
        self.launch(
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", self.at("kubeconfig")),
                "--leader-elect=false".to_owned(),
                "--controllers=*,-node-lifecycle-controller,-node-ipam-controller".to_owned(),
                format!(
                    "--service-account-private-key-file={}",
                    self.at("apiserver.key")
                ),
                "--secure-port=0".to_owned(),
            ],
        );
    }

    fn launch(&mut self, name: &str, arguments: &[String]) {
        let log = std::fs::File::create(self.at(&format!("{name}.log"))).unwrap();
        let child = Command::new(self.binaries.join(name))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.children.push(child);
    }

    pub(super) async fn client(&self) -> Client {
        let read = Kubeconfig::read_from(self.at("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        Client::try_from(
            Config::from_custom_kubeconfig(read, &options)
                .await
                .unwrap(),
        )
        .unwrap()
    }

    async fn is_ready(&self) -> bool {
        if !Path::new(&self.at("apiserver.crt")).is_file()
            || TcpStream::connect(("127.0.0.1", self.port)).is_err()
        {
            return false;
        }
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        self.client().await.request_text(request).await.is_ok()
    }

    fn at(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    held.each_ref()
        .map(|listener| listener.local_addr().unwrap().port())
}
