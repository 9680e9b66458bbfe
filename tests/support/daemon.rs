//! The `holdfast` binary as an operator runs it, and as a machine treats it: killed, frozen, started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::eventually::eventually;
use super::process::{Process, Signal};

/// From start to `/readyz`; an unoptimised binary on a machine that builds beside it.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What SIGTERM promises (20 s), and some air.
const STOPPED_WITHIN: Duration = Duration::from_secs(25);

/// How to start one. Two daemons of one story need different folders and ports.
#[derive(Clone, Debug)]
pub struct DaemonPlan {
    /// The binary of this build, unless a story says otherwise.
    pub binary: PathBuf,
    /// The configuration directory; the story writes it, `daemon.listen` included.
    pub config: PathBuf,
    /// The port that the configuration names.
    pub port: u16,
    /// Where its log goes: `holdfast.log`, appended over restarts.
    pub folder: PathBuf,
    /// What comes after `run --config DIR`.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

pub struct Daemon {
    plan: DaemonPlan,
    process: Process,
    client: reqwest::Client,
}

impl DaemonPlan {
    /// A daemon in `folder` with its configuration in `folder/config`.
    pub fn new(folder: &Path, port: u16) -> Self {
        Self {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_holdfast")),
            config: folder.join("config"),
            port,
            folder: folder.to_path_buf(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub async fn start(plan: DaemonPlan) -> Self {
        let daemon = Self::launch(plan);
        daemon.wait_until_ready().await;
        daemon
    }

    /// Starts it and does not wait: for a start that is meant to fail, or to be killed early.
    pub fn launch(plan: DaemonPlan) -> Self {
        let process = start_process(&plan);
        Self {
            plan,
            process,
            client: http_client(),
        }
    }

    pub fn url(&self) -> String {
        format!(
            "http://{}",
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.plan.port))
        )
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill_9(&mut self) {
        self.process.kill().await;
    }

    /// SIGTERM; gives the exit code.
    pub async fn stop(&mut self) -> i32 {
        self.process.signal(Signal::Terminate);
        let code = self.process.ended(STOPPED_WITHIN).await;
        code.unwrap_or_else(|| panic!("SIGTERM did not end it\n{}", self.process.log_end(30)))
    }

    /// SIGSTOP: alive to the kernel, dead to everyone else. It stands still when this returns.
    pub async fn freeze(&mut self) {
        self.process.freeze().await;
    }

    /// SIGCONT: it goes on where it was, and its clock has jumped.
    pub fn thaw(&mut self) {
        self.process.thaw();
    }

    /// SIGHUP: read the configuration again.
    pub fn hang_up(&mut self) {
        self.process.signal(Signal::Hangup);
    }

    /// Starts it again on the same directory, after `kill_9` or `stop`.
    pub async fn restart(&mut self) {
        assert!(
            self.end_code().is_some(),
            "it still runs: kill or stop it first"
        );
        self.process = start_process(&self.plan);
        self.wait_until_ready().await;
    }

    /// The exit code if it has ended by itself or by a signal (128 + signal).
    pub fn end_code(&self) -> Option<i32> {
        self.process.end_code()
    }

    /// The last lines of its log, for a story's own messages.
    pub fn log_end(&self) -> String {
        self.process.log_end(40)
    }

    pub async fn wait_until_ready(&self) {
        let url = format!("{}/readyz", self.url());
        eventually("holdfast is ready", READY_WITHIN, || async {
            if let Some(code) = self.end_code() {
                panic!("holdfast ended with {code}\n{}", self.log_end());
            }
            let response = self
                .client
                .get(&url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            let body = response.text().await.unwrap_or_default();
            Err(format!("{status}: {body}"))
        })
        .await;
    }

    /// Gets a path of the API (`/api/v1/alerts`) as JSON.
    ///
    /// # Errors
    /// If there was no answer, another status than success (with its body), or no JSON.
    pub async fn get_json(&self, path: &str) -> Result<Value, String> {
        let request = self.client.get(format!("{}{path}", self.url()));
        answered(path, request).await
    }

    /// Posts JSON to a path of the API.
    ///
    /// # Errors
    /// As `get_json`.
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.client.post(format!("{}{path}", self.url())).json(body);
        answered(path, request).await
    }

    /// Asks a path until `wanted` finds what it looks for, and gives that.
    ///
    /// # Panics
    /// After `within`, with the last answer and the end of the log.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        path: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> T {
        eventually(what, within, || async {
            let seen = match self.get_json(path).await {
                Ok(json) => match wanted(&json) {
                    Some(found) => return Ok(found),
                    None => serde_json::to_string_pretty(&json).unwrap_or_default(),
                },
                Err(reason) => reason,
            };
            Err(format!("GET {path}: {seen}\n{}", self.log_end()))
        })
        .await
    }

    /// The sum of a metric's series that carry all of `labels`; `None` if there is no such series.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let url = format!("{}/metrics", self.url());
        let text = self.client.get(url).send().await.ok()?.text().await.ok()?;
        sum_of(&text, name, labels)
    }
}

fn start_process(plan: &DaemonPlan) -> Process {
    let DaemonPlan {
        binary,
        config,
        folder,
        arguments,
        environment,
        ..
    } = plan;
    let fixed = [
        "run".to_owned(),
        "--config".to_owned(),
        config.to_string_lossy().into_owned(),
    ];
    let arguments = [&fixed, arguments.as_slice()].concat();
    let log = folder.join("holdfast.log");
    Process::start("holdfast", binary, &arguments, environment, &log)
        .unwrap_or_else(|reason| panic!("{reason}"))
}

/// A client for loopback: a frozen or black-holed server costs a look, not the story.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .pool_max_idle_per_host(0)
        .build()
        .expect("a plain client can be built")
}

async fn answered(path: &str, request: reqwest::RequestBuilder) -> Result<Value, String> {
    let response = request
        .send()
        .await
        .map_err(|error| format!("{path}: {error}"))?;
    let status = response.status();
    let text = response
        .text()
        .await
        .map_err(|error| format!("{path}: {error}"))?;
    if !status.is_success() {
        return Err(format!("{path}: {status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error} in {text}"))
}

/// Reads the text format as far as a story needs it: names, labels, a number.
pub fn sum_of(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut sum = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let (series, value) = match rest
            .strip_prefix('{')
            .and_then(|rest| rest.rsplit_once('}'))
        {
            Some((series, value)) => (series, value),
            None if rest.starts_with(' ') => ("", rest),
            None => continue,
        };
        let has = |(key, expected): &(&str, &str)| {
            format!(",{series},").contains(&format!(",{key}=\"{expected}\","))
        };
        let number = value
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<f64>().ok());
        if labels.iter().all(has) {
            sum = Some(sum.unwrap_or(0.0) + number?);
        }
    }
    sum
}
