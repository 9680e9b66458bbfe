//! The measurements, one after the other, so that none disturbs another.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::daemon::{Daemon, Target, quantile, sum};
use super::table::{Goal, Row};
use super::{Build, Sizes};

/// After a start, before anything is counted: series are read back, every probe has had its first look.
const SETTLE_SECONDS: u64 = 5;
/// Probes of one tenant; one tenant may look 32 times at once.
const PER_TENANT: u32 = 100;

/// Lines of `name value`.
#[derive(Debug, Default)]
pub struct Measured(BTreeMap<String, f64>);

// === impl Measured ===

impl Measured {
    pub fn read(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn get(&self, name: &str) -> Result<f64> {
        let found = self.0.get(name).copied();
        found.with_context(|| format!("nothing was said of {name}"))
    }
}

/// Measures everything.
///
/// # Errors
/// If one measurement does not come to its end.
pub fn all(build: &Build, sizes: Sizes) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    throughput(build, sizes, &mut rows)?;
    at_rest(build, sizes, &mut rows)?;
    telling(build, sizes, &mut rows)?;
    rolling_back(build, sizes, &mut rows)?;
    judging_and_storing(build, sizes, &mut rows)?;
    let binary = std::fs::metadata(build.holdfast())?.len() / 1024 / 1024;
    let binary = f64::from(u32::try_from(binary)?);
    rows.push(Row::new(
        "binary",
        binary,
        "MiB",
        Goal::Below(30.0),
        "with the demo in it",
    ));
    Ok(rows)
}

fn tenants(count: u32, every: &str, url: &str) -> String {
    let probe = format!("http: {{ url: \"{url}\" }}, every: {every}");
    let probes: String = (0..PER_TENANT.min(count))
        .map(|number| format!("      p{number}: {{ {probe} }}\n"))
        .collect();
    let names: Vec<String> = (0..PER_TENANT.min(count))
        .map(|number| format!("p{number}"))
        .collect();
    let names = names.join(", ");
    let tenants: String = (0..count.div_ceil(PER_TENANT))
        .map(|number| format!("  t{number}: {{ plan: watched }}\n"))
        .collect();
    format!(
        "plans:\n  watched:\n    probes:\n{probes}    objectives:\n      up: {{ probes: [{names}], measure: availability, over: 30m, critical: below 60%, warning: below 90% }}\ntenants:\n{tenants}"
    )
}

/// Probes per CPU-second with history persisted, and the bare loop beside it.
fn throughput(build: &Build, sizes: Sizes, rows: &mut Vec<Row>) -> Result<()> {
    let target = Target::start(&build.example("bench_http"))?;
    let (address, asked) = (target.address.to_string(), sizes.asked.to_string());
    let bare = build.figures("bench_http", &["ask", &address, &asked])?;
    let bare = bare.get("per_cpu_second")?;
    let url = format!("http://{address}/");
    println!(
        "{} probes @1 s, watched for {} s",
        sizes.fast_probes, sizes.watched_seconds
    );
    let daemon = Daemon::start(&build.holdfast(), &tenants(sizes.fast_probes, "1s", &url))?;
    std::thread::sleep(Duration::from_secs(SETTLE_SECONDS));
    let (before, metrics_before) = (daemon.account()?, daemon.metrics()?);
    std::thread::sleep(Duration::from_secs(sizes.watched_seconds));
    let (after, metrics_after) = (daemon.account()?, daemon.metrics()?);
    let grown = |name: &str| sum(&metrics_after, name) - sum(&metrics_before, name);
    let looks = grown("holdfast_probes_total");
    let cpu = f64::from(after.cpu_ticks - before.cpu_ticks) / 100.0;
    let rate = looks / cpu;
    let missed = grown("holdfast_probe_missed_ticks_total");
    let note = format!(
        "{} probes @1 s, a new connection each, every one judged and stored; {missed:.0} ticks missed",
        sizes.fast_probes
    );
    rows.push(Row::new(
        "HTTP probes per CPU-second, history persisted",
        rate,
        "/s",
        Goal::AtLeast(15_000.0),
        &note,
    ));
    rows.push(Row::new(
        "bare loop of requests per CPU-second",
        bare,
        "/s",
        Goal::None,
        "connect, write, read, close: what this machine can do at best",
    ));
    rows.push(Row::new(
        "bare request : probe",
        rate / bare,
        "",
        Goal::None,
        "the CPU of a bare request as a part of that of a whole probe",
    ));
    Ok(())
}

/// CPU, memory and the schedule of many probes that are seldom due.
fn at_rest(build: &Build, sizes: Sizes, rows: &mut Vec<Row>) -> Result<()> {
    let target = Target::start(&build.example("bench_http"))?;
    let url = format!("http://{}/", target.address);
    let count = sizes.slow_probes;
    println!(
        "{count} probes @30 s, watched for {} s",
        sizes.watched_seconds
    );
    let daemon = Daemon::start(&build.holdfast(), &tenants(count, "30s", &url))?;
    // Every probe has had its first look: that is when the memory is what it stays.
    let settle = if sizes.watched_seconds < 30 {
        SETTLE_SECONDS
    } else {
        35
    };
    std::thread::sleep(Duration::from_secs(settle));
    let (before, metrics_before) = (daemon.account()?, daemon.metrics()?);
    std::thread::sleep(Duration::from_secs(sizes.watched_seconds));
    let (after, metrics_after) = (daemon.account()?, daemon.metrics()?);
    let seconds = f64::from(u32::try_from(sizes.watched_seconds)?);
    let millicores = f64::from(after.cpu_ticks - before.cpu_ticks) * 10.0 / seconds;
    let note = format!("{count} HTTP probes @30 s, history persisted");
    rows.push(Row::new(
        "CPU at rest",
        millicores,
        "millicores",
        Goal::AtMost(15.0),
        &note,
    ));
    let resident = f64::from(after.resident_kib) / 1024.0;
    rows.push(Row::new(
        "resident memory",
        resident,
        "MiB",
        // The goals that were set: 24 MiB for a thousand probes, 48 for five thousand.
        Goal::AtMost(if count <= 1_000 { 24.0 } else { 48.0 }),
        &note,
    ));
    for (name, part, goal) in [("p50", 0.5, 0.6), ("p99", 0.99, 3.0)] {
        let lag = quantile(
            &metrics_before,
            &metrics_after,
            "holdfast_probe_start_lag_seconds",
            part,
        );
        let lag = lag.context("no look was made")? * 1e3;
        let title = format!("deviation from schedule {name}");
        rows.push(Row::new(
            &title,
            lag,
            "ms",
            Goal::AtMost(goal),
            "start of a look after its tick, from the daemon's histogram",
        ));
    }
    Ok(())
}

fn telling(build: &Build, sizes: Sizes, rows: &mut Vec<Row>) -> Result<()> {
    let binary = build.holdfast();
    let binary = binary.to_str().context("the path is text")?;
    let found = build.figures("bench_telling", &[binary, &sizes.told.to_string()])?;
    let note = format!(
        "bad answer written → message read by the webhook, {} times",
        sizes.told
    );
    rows.push(Row::new(
        "failing answer → message p50",
        found.get("answer_to_message_p50")?,
        "ms",
        Goal::None,
        &note,
    ));
    rows.push(Row::new(
        "failing answer → message p99",
        found.get("answer_to_message_p99")?,
        "ms",
        Goal::AtMost(50.0),
        &note,
    ));
    let note = "process start → first request at the target, 200 probes @1 s, empty database";
    rows.push(Row::new(
        "start → first probe p50",
        found.get("start_to_first_probe_p50")?,
        "ms",
        Goal::AtMost(50.0),
        note,
    ));
    Ok(())
}

fn rolling_back(build: &Build, sizes: Sizes, rows: &mut Vec<Row>) -> Result<()> {
    let found = build.figures("bench_rollback", &[&sizes.rollbacks.to_string()])?;
    let note = format!(
        "simulated cluster, {} rollbacks; intent committed first",
        sizes.rollbacks
    );
    for (part, goal) in [("p50", Goal::None), ("p99", Goal::Below(1000.0))] {
        let value = found.get(&format!("decision_to_patch_{part}"))?;
        rows.push(Row::new(
            &format!("decision → patch accepted {part}"),
            value,
            "ms",
            goal,
            &note,
        ));
    }
    let note = "first bad look → old template rolled out; HTTP probe @100 ms, a quarter fails, over: 5s, min_samples: 10";
    for (part, goal) in [("p50", Goal::AtMost(2500.0)), ("max", Goal::None)] {
        let value = found.get(&format!("evidence_to_rolled_out_{part}"))?;
        rows.push(Row::new(
            &format!("first evidence → rolled back {part}"),
            value,
            "ms",
            goal,
            note,
        ));
    }
    let value = found.get("evidence_to_decision_p50")?;
    rows.push(Row::new(
        "of this, evidence → decision p50",
        value,
        "ms",
        Goal::None,
        "gathering enough events to be sure",
    ));
    Ok(())
}

fn judging_and_storing(build: &Build, sizes: Sizes, rows: &mut Vec<Row>) -> Result<()> {
    let judged = build.bench("judge", "counts")?;
    for (bench, what) in [
        ("counts", "5 000 series, two objectives each"),
        ("counts_and_a_quantile", "the same, and a p95 over 15 m"),
    ] {
        // One iteration is a round of 5 000 samples.
        let each = median_seconds(&judged, bench).context("the judge's benchmark")? / 5_000.0 * 1e9;
        rows.push(Row::new(
            &format!("judge: {bench}"),
            each,
            "ns/sample",
            Goal::AtMost(500.0),
            what,
        ));
    }
    let stored = build.bench("store", "samples_in_batches_of")?;
    let batch = median_seconds(&stored, "20000").context("the store's benchmark")?;
    rows.push(Row::new(
        "samples into SQLite",
        20_000.0 / batch,
        "/s",
        Goal::AtLeast(100_000.0),
        "batches of 20 000, as 200 ms of that rate are",
    ));
    let disk = build.figures("bench_disk", &[&sizes.days.to_string()])?;
    let note = format!(
        "100 probes @30 s for {} days, latencies spread over 16 ms, the whole file",
        sizes.days
    );
    rows.push(Row::new(
        "stored sample",
        disk.get("bytes_per_sample")?,
        "bytes",
        Goal::AtMost(8.0),
        &note,
    ));
    Ok(())
}

/// The median of a benchmark, from the table that divan prints: the third column of its row.
fn median_seconds(table: &str, name: &str) -> Option<f64> {
    let row = table.lines().find(|line| {
        let label = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        label.split_whitespace().next() == Some(name) && line.matches('│').count() >= 4
    })?;
    let columns: Vec<&str> = row.trim_start_matches(['│', ' ']).split('│').collect();
    let median = columns.get(2)?.trim();
    let (number, unit) = median.split_once(' ')?;
    let unit = match unit {
        "ns" => 1e-9,
        "µs" | "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_a_benchmark_is_read_from_its_row() {
        let table = "\
judge                       fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ counts                   1.1 ms        │ 3 ms          │ 1.25 ms       │ 2 ms          │ 100     │ 100
│                           4.5 Mitem/s   │ 1 Mitem/s     │ 4 Mitem/s     │ 2.5 Mitem/s   │         │
╰─ samples_in_batches_of                  │               │               │               │         │
   ╰─ 20000                 41 ms         │ 60 ms         │ 50 ms         │ 50 ms         │ 100     │ 100
";
        assert!((median_seconds(table, "counts").unwrap() - 1.25e-3).abs() < 1e-12);
        assert!((median_seconds(table, "20000").unwrap() - 0.05).abs() < 1e-12);
        assert!(median_seconds(table, "absent").is_none());
    }

    #[test]
    fn figures_are_lines_of_name_and_value() {
        let found = Measured::read("a 1.5\nsome text here\nb 2\n");
        assert!((found.get("a").unwrap() - 1.5).abs() < 1e-9);
        assert!(found.get("some").is_err());
    }
}
