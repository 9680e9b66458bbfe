//! `holdfast decisions`: what was rolled back, what was held, and why.

use std::process::ExitCode;

use super::ask::{Asking, Client, Output, noun, print, print_json, read};
use super::table::{short, table};
use crate::domain::decision::{Decision, Verdict};
use crate::http::shape::Listing;
use crate::wire::decision::Decision as Shape;

/// Lists decisions, the newest first.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only those on this workload.
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
    let answer = client.get("/api/v1/decisions", &query).await?;
    match args.asking.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(&text(read(&answer)?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(list: Listing<Shape>) -> anyhow::Result<String> {
    let mut rows = Vec::with_capacity(list.items.len());
    for shape in list.items {
        let decision: Decision = noun(shape)?;
        let verdict = match decision.verdict {
            Verdict::RollBack { .. } => "rolled back".to_owned(),
            Verdict::Hold(hold) => format!("held: {hold}"),
        };
        rows.push(vec![
            short(&decision.id.to_string()),
            decision.at.to_string(),
            decision.workload.to_string(),
            verdict,
            decision.trigger.to_string(),
            decision.reason,
        ]);
    }
    let heading = ["DECISION", "AT", "WORKLOAD", "VERDICT", "TRIGGER", "WHY"];
    Ok(table(&heading, &rows, "Nothing had to be decided so far."))
}
