//! How long from the answer of a failing probe until its message is at a webhook, and from the start of the
//! daemon until its first probe arrives. `bench_telling BINARY ROUNDS`; prints `name value` lines in milliseconds.
//!
//! Target and receiver live in this process, the daemon is a child: both ends are read off one clock. All
//! times are taken where the bytes are: when the bad answer is written, when the message has been read.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Starts of the daemon that are measured.
const STARTS: usize = 10;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Probes beside the one that fails, so that one of them is due soon after the start.
const OTHERS: usize = 200;

/// The target, and the ears of the receiver.
struct Ends {
    failing: AtomicBool,
    /// When the first bad answer since the last change was given.
    failed: Mutex<Option<Instant>>,
    /// When the first question since the start came.
    asked: Mutex<Option<Instant>>,
    heard: mpsc::Sender<(String, Instant)>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, rounds] = arguments.as_slice() else {
        bail!("bench_telling BINARY ROUNDS");
    };
    let rounds: usize = rounds.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (heard, mut hearing) = mpsc::channel(1024);
    let ends = Arc::new(Ends {
        failing: AtomicBool::new(false),
        failed: Mutex::default(),
        asked: Mutex::default(),
        heard,
    });
    let mut serving = JoinSet::new();
    let router = Router::new()
        .route("/fragile", get(fragile))
        .route("/steady", get(steady))
        .route("/hook", post(hook))
        .with_state(ends.clone());
    serving.spawn(async move { axum::serve(listener, router).await });

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let folder = tempfile::tempdir()?;
        let began = Instant::now();
        *lock(&ends.asked) = None;
        let mut daemon = start(binary, folder.path(), address)?;
        let first = until(|| *lock(&ends.asked))
            .await
            .context("the first probe")?;
        starts.push(first.duration_since(began));
        daemon.kill().await?;
    }
    report("start_to_first_probe", starts);

    let folder = tempfile::tempdir()?;
    let mut daemon = start(binary, folder.path(), address)?;
    *lock(&ends.asked) = None;
    until(|| *lock(&ends.asked))
        .await
        .context("the daemon probes")?;
    // Series are read back first, and the leader's loops have to be up.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut told = Vec::new();
    for round in 0..rounds {
        let context = || format!("round {round}");
        *lock(&ends.failed) = None;
        ends.failing.store(true, Ordering::SeqCst);
        let arrived = wait(&mut hearing, "firing").await.with_context(context)?;
        let failed = lock(&ends.failed).context("a message without a bad answer")?;
        told.push(arrived.duration_since(failed));
        ends.failing.store(false, Ordering::SeqCst);
        wait(&mut hearing, "resolved").await.with_context(context)?;
    }
    daemon.kill().await?;
    report("answer_to_message", told);
    Ok(())
}

fn lock(cell: &Mutex<Option<Instant>>) -> std::sync::MutexGuard<'_, Option<Instant>> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn fragile(State(ends): State<Arc<Ends>>) -> StatusCode {
    lock(&ends.asked).get_or_insert_with(Instant::now);
    if !ends.failing.load(Ordering::SeqCst) {
        return StatusCode::OK;
    }
    lock(&ends.failed).get_or_insert_with(Instant::now);
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn steady(State(ends): State<Arc<Ends>>) -> StatusCode {
    lock(&ends.asked).get_or_insert_with(Instant::now);
    StatusCode::OK
}

async fn hook(State(ends): State<Arc<Ends>>, axum::Json(body): axum::Json<Value>) -> StatusCode {
    let status = body["status"].as_str().unwrap_or_default().to_owned();
    // Nobody listens any more once the measurement is over.
    drop(ends.heard.send((status, Instant::now())).await);
    StatusCode::OK
}

fn start(binary: &str, folder: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    let others: String = (0..OTHERS)
        .map(|number| {
            format!("      steady-{number}: {{ http: {{ url: \"http://{address}/steady\" }}, every: 1s }}\n")
        })
        .collect();
    let config = format!(
        "daemon:
  listen: 127.0.0.1:0
  store: {{ sqlite: {{ path: \"{}\" }} }}
  kubernetes: {{ access: none }}
receivers: {{ hook: {{ webhook: {{ url: \"http://{address}/hook\" }} }} }}
route: {{ receivers: [hook] }}
tenants:
  acme:
    probes:
      fragile: {{ http: {{ url: \"http://{address}/fragile\" }}, every: 200ms }}
{others}    objectives:
      alive: {{ probe: fragile, measure: consecutive_failures, critical: at least 1 }}
",
        folder.join("holdfast.db").display(),
    );
    let path = folder.join("bench.yaml");
    std::fs::write(&path, config)?;
    let child = Command::new(binary)
        .args(["--log-level", "error", "run", "--config"])
        .arg(path)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn wait(
    hearing: &mut mpsc::Receiver<(String, Instant)>,
    wanted: &str,
) -> anyhow::Result<Instant> {
    loop {
        let heard = timeout(PATIENCE, hearing.recv()).await;
        let (status, at) = heard
            .with_context(|| format!("no message says {wanted}"))?
            .context("the receiver is gone")?;
        if status == wanted {
            return Ok(at);
        }
    }
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    // The nearest rank: with few times the 99th is the slowest.
    let rank = |per_cent: usize| (times.len() * per_cent).div_ceil(100).max(1) - 1;
    let at = |per_cent: usize| times[rank(per_cent)].as_secs_f64() * 1e3;
    println!("{name}_p50 {:.1}", at(50));
    println!("{name}_p99 {:.1}", at(99));
    println!("{name}_max {:.1}", at(100));
    println!("{name}_count {}", times.len());
}
