//! A daemon that is watched from outside: its account at the operating system, and its own metrics.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// From start to an answer; an unoptimised binary with thousands of probes.
const READY_WITHIN_MS: u64 = 60_000;

/// A child that does not outlive its measurement.
pub struct Process(Child);

/// What the operating system has written down of a process.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// User and system time so far, in the kernel's hundredths of a second.
    pub cpu_ticks: u32,
    /// Resident memory.
    pub resident_kib: u32,
}

/// A running daemon.
pub struct Daemon {
    process: Process,
    address: SocketAddr,
    folder: PathBuf,
}

/// The target of the probes.
pub struct Target {
    _process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

// === impl Process ===

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left behind.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    fn account(&self) -> Result<Account> {
        let folder = Path::new("/proc").join(self.0.id().to_string());
        let stat = std::fs::read_to_string(folder.join("stat")).context("the process is gone")?;
        let (_, fields) = stat
            .rsplit_once(')')
            .context("the name stands in brackets")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let status = std::fs::read_to_string(folder.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.split_whitespace().next());
        Ok(Account {
            cpu_ticks: fields[11].parse::<u32>()? + fields[12].parse::<u32>()?,
            resident_kib: resident.context("no VmRSS")?.parse()?,
        })
    }
}

// === impl Target ===

impl Target {
    /// Starts it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the target")?;
        let pipe = child.stdout.take().context("its output was asked for")?;
        let process = Process(child);
        let mut line = String::new();
        BufReader::new(pipe).read_line(&mut line)?;
        Ok(Self {
            _process: process,
            address: line.trim().parse().context("it prints where it listens")?,
        })
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts one in an empty folder with these tenants, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(program: &Path, tenants: &str) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let folder = std::env::temp_dir().join(format!("holdfast-bench-{port}"));
        std::fs::create_dir_all(&folder)?;
        let config = format!(
            "daemon:\n  listen: {address}\n  store: {{ sqlite: {{ path: \"{}\" }} }}\n  kubernetes: {{ access: none }}\n{tenants}",
            folder.join("holdfast.db").display()
        );
        std::fs::write(folder.join("bench.yaml"), config)?;
        let child = Command::new(program)
            .args(["--log-level", "error", "run", "--config"])
            .arg(folder.join("bench.yaml"))
            .stdin(Stdio::null())
            .spawn()
            .context("failed to start the daemon")?;
        let daemon = Self {
            process: Process(child),
            address,
            folder,
        };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    fn wait_until_ready(&self) -> Result<()> {
        // An answer has the version of its question.
        let is_ready = |answer: String| answer.starts_with("HTTP/1.0 200");
        for _ in 0..READY_WITHIN_MS / 50 {
            if self.get("/readyz").is_ok_and(is_ready) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the daemon did not become ready");
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n",
            self.address
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metrics(&self) -> Result<String> {
        self.get("/metrics")
    }

    /// What the operating system says of it.
    ///
    /// # Errors
    /// If it is gone.
    pub fn account(&self) -> Result<Account> {
        self.process.account()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.0.kill());
        drop(self.process.0.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The sum of a metric's series.
pub fn sum(metrics: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let own = rest.starts_with(['{', ' ']);
        own.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    };
    metrics.lines().filter_map(of).sum()
}

/// What a histogram has seen between two scrapes, as a quantile in seconds; within its bucket the
/// observations are taken to be spread evenly.
pub fn quantile(before: &str, after: &str, name: &str, quantile: f64) -> Option<f64> {
    let buckets = |metrics: &str| -> Vec<(f64, f64)> {
        let prefix = format!("{name}_bucket{{le=\"");
        let of = |line: &str| {
            let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().ok()?
            };
            Some((bound, count.trim().parse().ok()?))
        };
        metrics.lines().filter_map(of).collect()
    };
    let before = buckets(before);
    let grown: Vec<(f64, f64)> = buckets(after)
        .into_iter()
        .map(|(bound, count)| {
            let was = before.iter().find(|(other, _)| *other >= bound);
            (bound, count - was.map_or(0.0, |(_, count)| *count))
        })
        .collect();
    let wanted = grown.last()?.1 * quantile;
    let mut below = (0.0, 0.0);
    for (bound, count) in grown {
        if count >= wanted && count > 0.0 {
            if bound.is_infinite() {
                return Some(below.0);
            }
            let part = (wanted - below.1) / (count - below.1).max(1.0);
            return Some(below.0 + (bound - below.0) * part);
        }
        below = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_metric_are_added_up_and_others_left_out() {
        let metrics = "a_total{x=\"1\"} 3\na_total{x=\"2\"} 4\na_total_more 9\n# a_total 9\n";
        assert!((sum(metrics, "a_total") - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_quantile_is_taken_of_what_was_added() {
        let scrape = |counts: [u32; 3]| {
            let [a, b, c] = counts;
            format!(
                "x_bucket{{le=\"0.001\"}} {a}\nx_bucket{{le=\"0.002\"}} {b}\nx_bucket{{le=\"+Inf\"}} {c}\n"
            )
        };
        let (before, after) = (scrape([10, 10, 10]), scrape([10, 110, 110]));
        let half = quantile(&before, &after, "x", 0.5).unwrap();
        assert!((half - 0.0015).abs() < 1e-9, "{half}");
        assert!(quantile(&after, &after, "x", 0.5).is_none());
    }
}
