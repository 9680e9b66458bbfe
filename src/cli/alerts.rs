//! `holdfast alerts`: alerts, newest change first.

use std::process::ExitCode;

use super::ask::{Asking, Client, Output, print, print_json, read};
use super::table::{short, table};
use crate::http::shape::Listing;
use crate::wire::alert::Alert;

/// Lists alerts, the newest change first.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only those of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those in this state: pending, firing, resolved, inactive.
    #[arg(long)]
    state: Option<String>,
    /// Only those of this severity: info, warning, critical.
    #[arg(long)]
    severity: Option<String>,
    /// Only those that changed at or after this instant (RFC 3339).
    #[arg(long)]
    since: Option<String>,
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
    for (name, value) in [
        ("tenant", args.tenant),
        ("state", args.state),
        ("severity", args.severity),
        ("since", args.since),
    ] {
        query.extend(value.map(|value| (name, value)));
    }
    let client = Client::new(&args.asking.server)?;
    let answer = client.get("/api/v1/alerts", &query).await?;
    match args.asking.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(&text(&read(&answer)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(list: &Listing<Alert>) -> String {
    let rows: Vec<Vec<String>> = list
        .items
        .iter()
        .map(|alert| {
            let key = &alert.key;
            vec![
                short(&alert.id),
                alert.state.to_string(),
                alert.severity.to_string(),
                format!("{}/{}/{}", key.tenant, key.objective, key.probe),
                alert.began.clone(),
                alert.ended.clone().unwrap_or_else(|| "open".to_owned()),
                alert
                    .annotations
                    .get("summary")
                    .cloned()
                    .unwrap_or_default(),
            ]
        })
        .collect();
    let heading = [
        "ALERT", "STATE", "SEVERITY", "PROMISE", "BEGAN", "ENDED", "SUMMARY",
    ];
    table(&heading, &rows, "There is no such alert.")
}
