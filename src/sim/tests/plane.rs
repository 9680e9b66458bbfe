//! A real control plane, when its binaries are at hand: `HOLDFAST_TEST_ASSETS` names their folder.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::process::{Child, Command};

use super::eventually;

/// Running processes; they are killed when the value is dropped.
pub(super) struct Plane {
    folder: tempfile::TempDir,
    port: u16,
    _processes: Vec<Child>,
}

/// The folder of the binaries, if there is one.
pub(super) fn assets() -> Option<PathBuf> {
    std::env::var_os("HOLDFAST_TEST_ASSETS")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

impl Plane {
    pub(super) async fn start(binaries: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [etcd, peer, port] = free_ports();
        let at = |file: &str| folder.path().join(file).display().to_string();
        std::fs::write(at("tokens.csv"), "all,admin,admin,system:masters\n").unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority": at("apiserver.crt"),
            }}],
            "users": [{"name": "real", "user": {"token": "all"}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        });
        std::fs::write(at("kubeconfig"), kubeconfig.to_string()).unwrap();
        let (etcd, peer) = (
            format!("http://127.0.0.1:{etcd}"),
            format!("http://127.0.0.1:{peer}"),
        );
        let launch = |name: &str, arguments: &[String]| {
            let log = std::fs::File::create(at(&format!("{name}.log"))).unwrap();
            Command::new(binaries.join(name))
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        let first = launch(
            "etcd",
            &[
                format!("--data-dir={}", at("etcd")),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                "--unsafe-no-fsync".to_owned(),
            ],
        );
        let address = etcd.trim_start_matches("http://").to_owned();
        eventually("etcd listens", async || {
            TcpStream::connect(&address).is_ok()
        })
        .await;
        let second = launch(
            "kube-apiserver",
            &[
                format!("--etcd-servers={etcd}"),
                format!("--cert-dir={}", folder.path().display()),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", at("apiserver.key")),
                format!("--service-account-signing-key-file={}", at("apiserver.key")),
                "--authorization-mode=RBAC".to_owned(),
                format!("--token-auth-file={}", at("tokens.csv")),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        );
        let mut plane = Self {
            folder,
            port,
            _processes: vec![first, second],
        };
        eventually("the API server is ready", async || plane.is_ready().await).await;
        let third = Command::new(binaries.join("kube-controller-manager"))
            .arg(format!(
                "--kubeconfig={}",
                plane.path("kubeconfig").display()
            ))
            .arg("--leader-elect=false")
            .arg("--controllers=*,-node-lifecycle-controller,-node-ipam-controller")
            .arg(format!(
                "--service-account-private-key-file={}",
                plane.path("apiserver.key").display()
            ))
            .arg("--secure-port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        plane._processes.push(third);
        plane
    }

    pub(super) async fn client(&self) -> Client {
        let read = Kubeconfig::read_from(self.path("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        Client::try_from(
            Config::from_custom_kubeconfig(read, &options)
                .await
                .unwrap(),
        )
        .unwrap()
    }

    async fn is_ready(&self) -> bool {
        if !self.path("apiserver.crt").is_file()
            || TcpStream::connect(("127.0.0.1", self.port)).is_err()
        {
            return false;
        }
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        self.client().await.request_text(request).await.is_ok()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    held.each_ref()
        .map(|listener| listener.local_addr().unwrap().port())
}
