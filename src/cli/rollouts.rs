//! `holdfast rollouts`: rollouts with the trust of their revisions.

use std::process::ExitCode;

use super::ask::{Asking, Client, Output, print, print_json, read};
use super::table::table;
use crate::http::shape::Listing;
use crate::http::shape::rollout::Rollout;

/// Lists rollouts, the newest first, with how far their revisions are trusted.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only those of this workload.
    #[arg(value_name = "TENANT/WORKLOAD")]
    workload: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    asking: Asking,
}

/// Asks and prints.
///
/// # Errors
/// If the daemon cannot be asked, or the question is not well put.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.workload.map(|workload| ("workload", workload)));
    let client = Client::new(&args.asking.server)?;
    let answer = client.get("/api/v1/rollouts", &query).await?;
    match args.asking.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(&text(&read(&answer)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(list: &Listing<Rollout>) -> String {
    let rows: Vec<Vec<String>> = list
        .items
        .iter()
        .map(|rollout| {
            let current = if rollout.current { " (current)" } else { "" };
            let by = match (&rollout.rollback, &rollout.changed_by) {
                (Some(_), _) => "holdfast".to_owned(),
                (None, Some(by)) => by.clone(),
                (None, None) => String::new(),
            };
            vec![
                rollout
                    .workload
                    .clone()
                    .unwrap_or_else(|| rollout.target.clone()),
                format!("{}{current}", rollout.revision),
                rollout.trust.clone(),
                rollout.outcome.clone(),
                rollout.began.clone(),
                by,
                rollout.images.join(", "),
            ]
        })
        .collect();
    let heading = [
        "WORKLOAD", "REVISION", "TRUST", "OUTCOME", "BEGAN", "BY", "IMAGES",
    ];
    table(&heading, &rows, "No rollout has been seen.")
}
