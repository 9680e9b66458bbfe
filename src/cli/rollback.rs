//! `holdfast rollback TENANT/WORKLOAD`: a person's order, or the plan of it.

use std::process::ExitCode;

use super::ask::{Asking, Client, Output, Refusal, noun, print, print_json, read};
use super::explain::decision_text;
use super::table::plain;
use crate::domain::decision::{Decision, Verdict};
use crate::http::shape::story::{RollbackAnswer, RollbackRequest};

/// Rolls a workload back now, on a person's word: mode, evidence, attribution and cooldown are skipped;
/// never, paused, freezes and preconditions still hold. Exit code 1 if it is held.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to roll back, as the configuration names it.
    #[arg(value_name = "TENANT/WORKLOAD")]
    workload: String,
    /// To this revision number, instead of the one Holdfast would choose.
    #[arg(long, value_name = "REV")]
    to: Option<u64>,
    /// Only print the plan: the target and why, the revisions considered, the guards, what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Who gives the order, for the record.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Orders and prints.
///
/// # Errors
/// If the daemon cannot be asked, or there is no such workload or revision.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let request = RollbackRequest {
        workload: args.workload,
        to: args.to,
        dry_run: args.dry_run,
        by: args.by,
    };
    let client = Client::new(&args.asking.server)?;
    let answer = match client.post("/api/v1/rollbacks", &request).await {
        Ok(answer) => answer,
        Err(error) => return held(error, args.asking.output),
    };
    if args.asking.output == Output::Json {
        print_json(&answer)?;
        let answer: RollbackAnswer = read(&answer)?;
        return outcome(&answer);
    }
    let answer: RollbackAnswer = read(&answer)?;
    print(&text(&answer)?)?;
    outcome(&answer)
}

/// A plan that would hold is a failure too: a script that asks "would it work" wants to know.
fn outcome(answer: &RollbackAnswer) -> anyhow::Result<ExitCode> {
    let decision: Option<Decision> = answer.decision.clone().map(noun).transpose()?;
    let holds = decision.is_some_and(|decision| matches!(decision.verdict, Verdict::Hold(_)));
    Ok(if holds {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A decision not to do it is an answer, not an accident: it is shown whole.
fn held(error: anyhow::Error, output: Output) -> anyhow::Result<ExitCode> {
    let Some(Refusal(problem)) = error.downcast_ref::<Refusal>() else {
        return Err(error);
    };
    let Some(decision) = problem.decision.clone() else {
        return Err(error);
    };
    match output {
        Output::Json => print_json(&serde_json::to_value(problem)?)?,
        Output::Table => print(&decision_text(&noun(*decision)?))?,
    }
    Ok(ExitCode::FAILURE)
}

pub(super) fn text(answer: &RollbackAnswer) -> anyhow::Result<String> {
    let mut text = String::new();
    if answer.dry_run {
        text.push_str("Plan; nothing was changed: ");
    }
    if let Some(shape) = answer.decision.clone() {
        let decision: Decision = noun(shape)?;
        text.push_str(&decision_text(&decision));
    }
    if let Some(sent) = &answer.would_send {
        text.push_str(&format!("\nWould send\n  {}\n", plain(sent)));
    }
    if let Some(rollback) = &answer.rollback {
        text.push_str(&format!(
            "\nRollback {} of {} is under way; to follow it: holdfast explain {}\n",
            plain(&rollback.id),
            plain(&rollback.workload),
            plain(&rollback.id),
        ));
    }
    Ok(text)
}
