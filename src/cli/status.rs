//! `holdfast status`: how a running daemon and its tenants stand.

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::ask::{Asking, Client, Output, print, print_json, read};
use super::table::{plain, table};
use crate::http::shape::ago;
use crate::http::shape::status::Status;

/// How a running Holdfast stands; exit code 1 if it is not ready.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
}

/// Asks and prints.
///
/// # Errors
/// If the daemon cannot be asked.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.asking.server)?
        .get("/status", &[])
        .await?;
    let status: Status = read(&answer)?;
    match args.asking.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(&text(&status))?,
    }
    Ok(if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) fn text(status: &Status) -> String {
    let mut text = format!(
        "Holdfast {} is {}; started {}\n",
        plain(&status.version),
        if status.ready { "ready" } else { "NOT READY" },
        ago(&status.started, &status.now),
    );
    let role = match status.term {
        Some(term) => format!("leads in term {term}"),
        None => "follows".to_owned(),
    };
    text.push_str(&format!(
        "It {role}; cluster {}; store {}; {} tasks\n",
        if status.cluster { "connected" } else { "none" },
        if status.store {
            "answers"
        } else {
            "DOES NOT ANSWER"
        },
        status.tasks.values().sum::<usize>(),
    ));
    if let Some(task) = &status.died {
        text.push_str(&format!("Task {} ended by itself\n", plain(task)));
    }
    let config = &status.config;
    text.push_str(&format!(
        "Configuration {} in force since {}\n",
        plain(&config.hash),
        plain(&config.since)
    ));
    if !config.successful {
        text.push_str(&format!(
            "The last reload ({}) found faults, the one before stays in force:\n",
            ago(&config.tried, &status.now)
        ));
    }
    for fault in config.faults.iter().chain(&config.lints) {
        for line in fault.lines() {
            text.push_str(&format!("  {}\n", plain(line)));
        }
    }
    if status.rollbacks_open > 0 {
        text.push_str(&format!("Rollbacks under way: {}\n", status.rollbacks_open));
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = status
        .tenants
        .iter()
        .map(|tenant| {
            vec![
                tenant.tenant.clone(),
                tenant.standing.as_str().to_owned(),
                counts(&tenant.objectives),
                counts(&tenant.alerts),
                counts(&tenant.probes),
            ]
        })
        .collect();
    let heading = ["TENANT", "STANDING", "PROMISES", "ALERTS", "PROBES"];
    text + &table(
        &heading,
        &rows,
        "No tenant is configured, so nothing is watched.",
    )
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}
