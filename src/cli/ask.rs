//! How commands ask a running daemon: one client, and errors that say what to do.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::http::problem::Problem;
use crate::wire::Wire;

/// Where the daemon is, and how to print its answer.
#[derive(Clone, Debug, clap::Args)]
pub struct Asking {
    /// The daemon to ask.
    #[arg(
        long,
        env = "HOLDFAST_SERVER",
        default_value = "http://127.0.0.1:9811",
        value_name = "URL"
    )]
    pub server: Url,
    /// Tables for people, or the answer as JSON.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `--output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The daemon said no, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", .0.detail, faults(.0))]
pub struct Refusal(pub Box<Problem>);

fn faults(problem: &Problem) -> String {
    problem
        .faults
        .iter()
        .map(|fault| format!("\n{fault}"))
        .collect()
}

/// An answer takes as long as the longest thing that can be asked for: a probe's own timeout.
const ANSWER: Duration = Duration::from_secs(70);
const CONNECT: Duration = Duration::from_secs(5);
/// A page of a thousand rows with their evidence is some megabytes; more is no answer of ours.
const ANSWER_MAX: usize = 64 << 20;

/// Asks one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    server: Url,
    http: reqwest::Client,
}

// === impl Client ===

impl Client {
    /// A client of the daemon at `server`. A proxy of the environment is not used: it would answer for the
    /// wrong loopback.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(server: &Url) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("failed to make an HTTP client")?;
        Ok(Self {
            server: server.clone(),
            http,
        })
    }

    /// Asks.
    ///
    /// # Errors
    /// [`Refusal`] if the daemon says no; otherwise what was in the way, and what to do about it.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let request = self.http.get(self.address(path)?).query(query);
        self.send(request).await
    }

    /// Tells.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let request = self.http.post(self.address(path)?).json(body);
        self.send(request).await
    }

    fn address(&self, path: &str) -> anyhow::Result<Url> {
        let base = self.server.as_str().trim_end_matches('/');
        format!("{base}{path}")
            .parse()
            .with_context(|| format!("{base} is not the address of a server"))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(anyhow::Error::new(error.without_url()).context(format!(
                    "no Holdfast answers at {}: is `holdfast run` running there? --server or \
                     HOLDFAST_SERVER says where to ask",
                    self.server
                )));
            }
            Err(error) => {
                let what = format!("failed to ask {}", self.server);
                return Err(anyhow::Error::new(error.without_url()).context(what));
            }
        };
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
            bytes.extend_from_slice(&chunk);
            anyhow::ensure!(bytes.len() <= ANSWER_MAX, "the answer is too long");
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .with_context(|| format!("what answers at {} is not a Holdfast", self.server));
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(Refusal(Box::new(problem)).into()),
            Err(_) => anyhow::bail!("{} answered {status}; is it a Holdfast?", self.server),
        }
    }
}

/// Reads an answer into its shape.
///
/// # Errors
/// If the daemon is of another version.
pub fn read<T: DeserializeOwned>(answer: &Value) -> anyhow::Result<T> {
    T::deserialize(answer).context("the answer cannot be read: is the daemon of another version?")
}

/// Reads a shape into its noun.
///
/// # Errors
/// If the daemon is of another version.
pub fn noun<T: Wire>(shape: T::Shape) -> anyhow::Result<T> {
    T::read(shape).context("the answer cannot be read: is the daemon of another version?")
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
///
/// # Errors
/// If it cannot be written to for another reason.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints an answer as JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(answer: &Value) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(answer)?)
}
