//! A real Prometheus that looks every second at the targets a story names.
//!
//! Targets come from a file that Prometheus watches, so they can change while it runs, as pods do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::assets;
use super::controlplane::random_hex;
use super::eventually::eventually;
use super::process::{Process, free_ports};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// Something with `/metrics`, and the labels that its series get.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub labels: Vec<(String, String)>,
}

impl Target {
    pub fn new(address: SocketAddr, labels: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            address,
            labels: labels.iter().map(owned).collect(),
        }
    }
}

pub struct Prometheus {
    folder: PathBuf,
    port: u16,
    process: Process,
    client: reqwest::Client,
}

impl Prometheus {
    /// Starts one and waits until it answers queries.
    pub async fn start(targets: &[Target]) -> Self {
        let binary = assets::prometheus().unwrap_or_else(|reason| panic!("{reason}"));
        let folder = assets::run_folder().join(format!("prometheus-{}", &random_hex()[..6]));
        std::fs::create_dir_all(&folder).expect("the run's folder is writable");
        std::fs::write(folder.join("prometheus.yml"), CONFIGURATION).expect("and its folders too");
        write_targets(&folder, targets);
        let [port] = free_ports();
        let arguments = [
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ];
        let log = folder.join("prometheus.log");
        let process = Process::start("prometheus", &binary, &arguments, &[], &log)
            .unwrap_or_else(|reason| panic!("{reason}"));
        let client = super::daemon::http_client();
        let prometheus = Self {
            folder,
            port,
            process,
            client,
        };
        prometheus.wait_until_ready().await;
        prometheus
    }

    /// Where it really listens: put a `FaultProxy` before it to break it.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Replaces the targets; Prometheus notices by itself within a second or so.
    pub fn set_targets(&self, targets: &[Target]) {
        write_targets(&self.folder, targets);
    }

    /// The folder to hand to `write_targets`, for a task that follows pods.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Asks an instant query and gives the result's vector.
    ///
    /// # Errors
    /// Whatever kept it from a successful answer.
    pub async fn query(&self, promql: &str) -> Result<Vec<Value>, String> {
        let url = format!("{}/api/v1/query", self.url());
        let response = self
            .client
            .get(url)
            .query(&[("query", promql)])
            .send()
            .await;
        let answer: Value = response
            .map_err(|error| error.to_string())?
            .json()
            .await
            .map_err(|error| error.to_string())?;
        match answer["data"]["result"].as_array() {
            Some(result) if answer["status"] == "success" => Ok(result.clone()),
            _ => Err(answer.to_string()),
        }
    }

    /// Ends it as a crash would; what it had in memory is in its log of writes.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    async fn wait_until_ready(&self) {
        let url = format!("{}/-/ready", self.url());
        eventually("Prometheus is ready", READY_WITHIN, || async {
            if let Some(code) = self.process.end_code() {
                panic!("it ended with {code}\n{}", self.process.log_end(20));
            }
            let response = self
                .client
                .get(&url)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            if response.status().is_success() {
                Ok(())
            } else {
                Err(response.status().to_string())
            }
        })
        .await;
    }
}

/// `honor_labels` keeps a `pod` label that the application itself reports.
const CONFIGURATION: &str = "\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: stories
    honor_labels: true
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: 1s
";

/// Written beside and moved in, so that Prometheus never reads half a file.
pub fn write_targets(folder: &Path, targets: &[Target]) {
    let groups: Vec<Value> = targets
        .iter()
        .map(|target| {
            let labels: serde_json::Map<String, Value> = target
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                .collect();
            json!({ "targets": [target.address.to_string()], "labels": labels })
        })
        .collect();
    let beside = folder.join("targets.json.new");
    std::fs::write(&beside, Value::from(groups).to_string()).expect("the folder is writable");
    std::fs::rename(beside, folder.join("targets.json")).expect("both are in one folder");
}
