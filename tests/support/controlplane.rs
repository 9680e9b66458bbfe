//! A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager.
//!
//! One for a test run, shared by its stories; a namespace each. There is no scheduler and no node:
//! pods stay pending until a story brings something that runs them. RBAC is on, the daemon runs with
//! the token of a service account, so least privilege is proved by running. The audit log proves what
//! was sent.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::sync::OnceCell;

use super::assets;
use super::audit::{Audit, POLICY};
use super::eventually::eventually;
use super::process::{Process, free_ports};

/// Ready takes about three seconds on two idle cores; a machine that builds beside it needs longer.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Longer than any run of the stories; short enough that a leaked one is soon worth nothing.
const TOKEN_SECONDS: i64 = 6 * 3600;

pub struct ControlPlane {
    folder: PathBuf,
    port: u16,
    admin_kubeconfig: PathBuf,
    /// Held for their lives: the processes end when the test process does.
    processes: Mutex<Vec<Process>>,
}

/// The control plane of this test run; the first story to ask starts it.
///
/// # Panics
/// If it does not come up, for every story that asks, at once.
pub async fn control_plane() -> &'static ControlPlane {
    static PLANE: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
    match PLANE.get_or_init(ControlPlane::start).await {
        Ok(plane) => plane,
        Err(reason) => panic!("no control plane: {reason}"),
    }
}

impl ControlPlane {
    /// The address of the API server, for a `FaultProxy` in front of it: its certificate is for
    /// 127.0.0.1, whatever the port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A kubeconfig that may do everything, for `kubectl` and for looking around.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// A client that may do everything. It belongs to the runtime of the story that asks: a client of
    /// another story ends with that story.
    pub async fn client(&self) -> Client {
        client_of(&self.admin_kubeconfig).await
    }

    /// Creates a namespace for one story and gives its name, `story` with something unique behind it.
    pub async fn namespace(&self, story: &str) -> String {
        let name = format!("{story}-{}", &random_hex()[..6]);
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))
            .expect("a name makes a namespace");
        Api::all(self.client().await)
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap_or_else(|error| panic!("failed to create namespace {name}: {error}"));
        name
    }

    /// Writes a kubeconfig of a service account, whose token the API server has issued.
    pub async fn kubeconfig_for(&self, namespace: &str, account: &str) -> PathBuf {
        self.kubeconfig_through(self.address(), namespace, account)
            .await
    }

    /// The same, by way of a proxy.
    pub async fn kubeconfig_through(
        &self,
        server: SocketAddr,
        namespace: &str,
        account: &str,
    ) -> PathBuf {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let granted = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .unwrap_or_else(|error| panic!("no token for {namespace}/{account}: {error}"));
        let token = granted
            .status
            .expect("a granted request has a status")
            .token;
        let name = format!("kubeconfig-{namespace}-{account}-{}", &random_hex()[..6]);
        let path = self.folder.join(name);
        write_kubeconfig(&path, &self.certificate(), server, &token, namespace);
        path
    }

    /// The audit log up to now. A request stands in it when it has been answered, give or take some
    /// milliseconds: ask with `eventually`.
    pub fn audit(&self) -> Audit {
        Audit::read(&self.folder.join("audit.log"))
    }

    /// The same for one story's namespace, without reading what is said of the others.
    pub fn audit_of(&self, namespace: &str) -> Audit {
        let path = self.folder.join("audit.log");
        Audit::read_about(&path, namespace).in_namespace(namespace)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("certificates/apiserver.crt")
    }

    async fn start() -> Result<Self, String> {
        let binaries = assets::control_plane()?;
        let folder = assets::run_folder().join("controlplane");
        std::fs::create_dir_all(folder.join("certificates"))
            .map_err(|error| format!("failed to create {}: {error}", folder.display()))?;
        let [client_port, peer_port, port] = free_ports();
        let tokens = Tokens::write(&folder);
        write(&folder.join("audit-policy.yaml"), POLICY);
        let plane = Self {
            admin_kubeconfig: folder.join("kubeconfig-admin"),
            folder,
            port,
            processes: Mutex::default(),
        };
        let etcd = plane.start_etcd(&binaries, client_port, peer_port)?;
        wait_for("etcd", &etcd, || {
            TcpStream::connect(("127.0.0.1", client_port)).is_ok()
        })
        .await?;
        let api_server = plane.start_api_server(&binaries, client_port)?;
        wait_for("its certificate", &api_server, || {
            plane.certificate().is_file()
        })
        .await?;
        let server = plane.address();
        let certificate = plane.certificate();
        write_kubeconfig(
            &plane.admin_kubeconfig,
            &certificate,
            server,
            &tokens.admin,
            "default",
        );
        plane.wait_until_ready(&api_server).await?;
        let manager = plane.start_controller_manager(&binaries, &tokens)?;
        plane.wait_for_controllers(&manager).await?;
        plane
            .processes
            .lock()
            .expect("nobody else has it yet")
            .extend([etcd, api_server, manager]);
        Ok(plane)
    }

    fn start_etcd(&self, binaries: &Path, client: u16, peer: u16) -> Result<Process, String> {
        let client = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        self.launch(
            binaries,
            "etcd",
            [
                format!("--data-dir={}", self.folder.join("etcd").display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                // Nothing of it is wanted after the run.
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
            ],
        )
    }

    fn start_api_server(&self, binaries: &Path, etcd: u16) -> Result<Process, String> {
        let certificates = self.folder.join("certificates");
        // The server makes its own certificate at start; the same key may sign the tokens.
        let key = certificates.join("apiserver.key");
        self.launch(
            binaries,
            "kube-apiserver",
            [
                format!("--etcd-servers=http://127.0.0.1:{etcd}"),
                format!("--cert-dir={}", certificates.display()),
                format!("--secure-port={}", self.port),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", key.display()),
                format!("--service-account-signing-key-file={}", key.display()),
                "--authorization-mode=RBAC".to_owned(),
                format!(
                    "--token-auth-file={}",
                    self.folder.join("tokens.csv").display()
                ),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                format!(
                    "--audit-policy-file={}",
                    self.folder.join("audit-policy.yaml").display()
                ),
                format!(
                    "--audit-log-path={}",
                    self.folder.join("audit.log").display()
                ),
                "--audit-log-maxsize=0".to_owned(),
            ],
        )
    }

    fn start_controller_manager(
        &self,
        binaries: &Path,
        tokens: &Tokens,
    ) -> Result<Process, String> {
        let kubeconfig = self.folder.join("kubeconfig-controller-manager");
        let token = &tokens.controller_manager;
        write_kubeconfig(
            &kubeconfig,
            &self.certificate(),
            self.address(),
            token,
            "default",
        );
        let key = self.folder.join("certificates/apiserver.key");
        self.launch(
            binaries,
            "kube-controller-manager",
            [
                format!("--kubeconfig={}", kubeconfig.display()),
                "--leader-elect=false".to_owned(),
                // The nodes here are played by the stories: nobody else may judge or number them.
                "--controllers=*,-node-lifecycle-controller,-node-ipam-controller,\
                 -cloud-node-lifecycle-controller"
                    .to_owned(),
                format!("--service-account-private-key-file={}", key.display()),
                "--secure-port=0".to_owned(),
                "--kube-api-qps=200".to_owned(),
                "--kube-api-burst=400".to_owned(),
            ],
        )
    }

    fn launch<const N: usize>(
        &self,
        binaries: &Path,
        name: &str,
        arguments: [String; N],
    ) -> Result<Process, String> {
        let log = self.folder.join(format!("{name}.log"));
        Process::start(name, &binaries.join(name), &arguments, &[], &log)
    }

    async fn wait_until_ready(&self, api_server: &Process) -> Result<(), String> {
        let client = self.client().await;
        eventually("the API server is ready", READY_WITHIN, || async {
            if let Some(code) = api_server.end_code() {
                return Ok(Err(format!(
                    "it ended with {code}\n{}",
                    api_server.log_end(20)
                )));
            }
            let request = http::Request::get("/readyz")
                .body(Vec::new())
                .expect("a plain request");
            client.request_text(request).await.map(|_| Ok(()))
        })
        .await
    }

    /// Ready as stories mean it: a namespace gets its service account, so the controllers run.
    async fn wait_for_controllers(&self, manager: &Process) -> Result<(), String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, "default");
        eventually("the controllers run", READY_WITHIN, || async {
            if let Some(code) = manager.end_code() {
                return Ok(Err(format!(
                    "it ended with {code}\n{}",
                    manager.log_end(20)
                )));
            }
            accounts.get("default").await.map(|_| Ok(()))
        })
        .await
    }
}

/// Waits for something that a process does first; its early end is a failure with its log.
async fn wait_for(what: &str, process: &Process, seen: impl Fn() -> bool) -> Result<(), String> {
    eventually(what, READY_WITHIN, || async {
        match process.end_code() {
            Some(code) => Ok(Err(format!(
                "it ended with {code}\n{}",
                process.log_end(20)
            ))),
            None if seen() => Ok(Ok(())),
            None => Err("not yet"),
        }
    })
    .await
}

/// Static tokens, new for every run.
struct Tokens {
    admin: String,
    controller_manager: String,
}

impl Tokens {
    fn write(folder: &Path) -> Self {
        let tokens = Self {
            admin: random_hex(),
            controller_manager: random_hex(),
        };
        let Self {
            admin,
            controller_manager,
        } = &tokens;
        let lines = format!(
            "{admin},admin,admin,system:masters\n\
             {controller_manager},system:kube-controller-manager,manager,system:masters\n"
        );
        write(&folder.join("tokens.csv"), &lines);
        tokens
    }
}

/// A client of whoever the kubeconfig speaks for, in the runtime of the caller.
pub async fn client_of(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig)
        .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
    Client::try_from(config).expect("a kubeconfig of ours makes a client")
}

fn write_kubeconfig(
    path: &Path,
    certificate: &Path,
    server: SocketAddr,
    token: &str,
    namespace: &str,
) {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": {
            "server": format!("https://{server}"),
            "certificate-authority": certificate,
        }}],
        "users": [{ "name": "test", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": {
            "cluster": "test", "user": "test", "namespace": namespace,
        }}],
    });
    write(path, &config.to_string());
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text)
        .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
}

/// Thirty-two hexadecimal digits of the kernel's randomness.
pub fn random_hex() -> String {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .expect("the kernel gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
