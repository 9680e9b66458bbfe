//! `holdfast explain ID`: the whole story of a decision, a rollback or an alert.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use super::ask::{Asking, Client, Output, Refusal, noun, print, print_json, read};
use super::table::{plain, table};
use crate::domain::alert::{Alert, Evidence, Transition};
use crate::domain::decision::{Decision, Verdict};
use crate::domain::rollback::Rollback;
use crate::domain::time::Spelled;
use crate::http::shape::story::{AlertStory, DecisionStory, Telling};

/// Explains a decision, a rollback or an alert, by its id or the first digits of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The id, or the first digits of it as the lists show them.
    id: String,
    #[command(flatten)]
    asking: Asking,
}

/// Asks and prints.
///
/// # Errors
/// If the daemon cannot be asked, or there is no such thing.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.asking.server)?;
    let (answer, is_decision) = find(&client, &args.id).await?;
    match args.asking.output {
        Output::Json => print_json(&answer)?,
        Output::Table if is_decision => print(&decision_story(read(&answer)?)?)?,
        Output::Table => print(&alert_story(read(&answer)?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

const LISTS: [(&str, bool); 3] = [("decisions", true), ("alerts", false), ("rollbacks", true)];

async fn find(client: &Client, id: &str) -> anyhow::Result<(Value, bool)> {
    const DIGITS: usize = 32;
    /// Fewer digits than these name too much.
    const DIGITS_MIN: usize = 4;
    let hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    anyhow::ensure!(
        hexadecimal && (DIGITS_MIN..=DIGITS).contains(&id.len()),
        "an id is {DIGITS_MIN} to {DIGITS} hexadecimal digits"
    );
    let id = id.to_ascii_lowercase();
    let id = if id.len() == DIGITS {
        id
    } else {
        complete(client, &id).await?
    };
    // A rollback's id leads to its decision too.
    for (list, is_decision) in [("decisions", true), ("alerts", false)] {
        match client.get(&format!("/api/v1/{list}/{id}"), &[]).await {
            Ok(answer) => return Ok((answer, is_decision)),
            Err(error) => match error.downcast_ref::<Refusal>() {
                Some(Refusal(problem)) if problem.status == 404 => {}
                Some(_) | None => return Err(error),
            },
        }
    }
    anyhow::bail!("there is no decision, rollback or alert `{id}`")
}

async fn complete(client: &Client, start: &str) -> anyhow::Result<String> {
    let mut found: Vec<String> = Vec::new();
    for (list, _) in LISTS {
        let query = [("limit", "1000".to_owned())];
        let answer = client.get(&format!("/api/v1/{list}"), &query).await?;
        let items = answer["items"]
            .as_array()
            .context("the answer is no list")?;
        found.extend(
            items
                .iter()
                .filter_map(|item| item["id"].as_str())
                .filter(|id| id.starts_with(start))
                .map(ToOwned::to_owned),
        );
    }
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => anyhow::bail!("nothing recent has an id that begins with `{start}`"),
        [id] => Ok(id.clone()),
        several => anyhow::bail!(
            "{} ids begin with `{start}`: {}",
            several.len(),
            several.join(", ")
        ),
    }
}

pub(super) fn decision_story(story: DecisionStory) -> anyhow::Result<String> {
    let decision: Decision = noun(story.decision)?;
    let rollback: Option<Rollback> = story.rollback.map(noun).transpose()?;
    let mut text = decision_text(&decision);
    if let Some(rollout) = &story.rollout {
        text.push_str(&format!(
            "\nWhat changed\n  revision {} of {}, begun {}{}{}\n  images: {} (before: {})\n",
            rollout.revision,
            plain(&rollout.target),
            plain(&rollout.began),
            rollout
                .changed_by
                .as_ref()
                .map_or_else(String::new, |by| format!(", by {}", plain(by))),
            rollout
                .change_cause
                .as_ref()
                .map_or_else(String::new, |cause| format!(", because: {}", plain(cause))),
            plain(&rollout.images.join(", ")),
            plain(&rollout.from_images.join(", ")),
        ));
    }
    if let Some(rollback) = &rollback {
        text.push_str(&format!(
            "\nRollback {}: {}\n",
            rollback.id,
            rollback.stage.as_str()
        ));
        let steps: Vec<Vec<String>> = rollback
            .steps
            .iter()
            .map(|step| {
                vec![
                    format!("  {}", step.at),
                    step.stage.to_owned(),
                    step.what.clone(),
                ]
            })
            .collect();
        text.push_str(&table(
            &["  AT", "STAGE", "WHAT"],
            &steps,
            "  Nothing was done yet.",
        ));
    }
    text.push_str(&messages(&story.deliveries));
    text.push_str(&format!("\nWhat to do now\n  {}\n", plain(&story.advice)));
    Ok(text)
}

/// A decision for people: also the plan of a dry run.
pub(super) fn decision_text(decision: &Decision) -> String {
    let verdict = match &decision.verdict {
        Verdict::RollBack { to, .. } => {
            let revision = decision
                .candidates
                .iter()
                .find(|candidate| candidate.template == *to)
                .and_then(|candidate| candidate.revision);
            match revision {
                Some(revision) => format!("roll back to revision {revision}"),
                None => format!("roll back to template {}", to.0.short()),
            }
        }
        Verdict::Hold(hold) => format!("hold: {hold}"),
    };
    let mut text = format!(
        "{verdict}\n{}\n\nworkload  {} ({})\ntrigger   {}\nmode      {}\nat        {}\ndecision  {}\n",
        plain(&decision.reason),
        decision.workload,
        decision.target,
        plain(&decision.trigger.to_string()),
        decision.mode.as_str(),
        decision.at,
        decision.id,
    );
    if !decision.evidence.is_empty() {
        text.push_str("\nWhat broke\n");
        for evidence in &decision.evidence {
            text.push_str(&format!("  {}\n", plain(&evidence_text(evidence))));
        }
    }
    text.push_str(&candidates(decision));
    text.push_str("\nGuards\n");
    let rows: Vec<Vec<String>> = decision
        .guards
        .iter()
        .map(|guard| {
            let result = match guard.result {
                Ok(()) => "passed".to_owned(),
                Err(hold) => format!("holds: {hold}"),
            };
            vec![format!("  {}", guard.guard), result, guard.detail.clone()]
        })
        .collect();
    text + &table(
        &["  GUARD", "RESULT", "LOOKED AT"],
        &rows,
        "  None was asked.",
    )
}

fn candidates(decision: &Decision) -> String {
    let rows: Vec<Vec<String>> = decision
        .candidates
        .iter()
        .map(|candidate| {
            let images: Vec<&str> = candidate.images.iter().map(|image| &**image).collect();
            vec![
                candidate.revision.map_or_else(
                    || format!("  {}", candidate.template.0.short()),
                    |number| format!("  {number}"),
                ),
                candidate
                    .proven
                    .map_or_else(|| "never".to_owned(), |at| at.to_string()),
                candidate
                    .rejected
                    .clone()
                    .unwrap_or_else(|| "the target".to_owned()),
                images.join(", "),
            ]
        })
        .collect();
    let heading = ["  REVISION", "PROVEN", "CHOICE", "IMAGES"];
    let table = table(&heading, &rows, "  None was considered.");
    format!("\nRevisions considered\n{table}")
}

fn evidence_text(evidence: &Evidence) -> String {
    let shown = evidence.shown.as_deref().unwrap_or("nothing measured");
    let condition = if evidence.condition.is_empty() {
        String::new()
    } else {
        format!(", must not be {}", evidence.condition)
    };
    let why = evidence
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!("; last: {why}"));
    format!(
        "{}: {} {shown} over {}{condition} ({} of {} events bad, {} void, {} to {}{why})",
        evidence.key,
        evidence.measure,
        Spelled(evidence.over),
        evidence.tally.bad,
        evidence.tally.valid(),
        evidence.void,
        evidence.window.from,
        evidence.window.to,
    )
}

fn messages(deliveries: &[Telling]) -> String {
    let rows: Vec<Vec<String>> = deliveries
        .iter()
        .map(|telling| {
            let delivery = &telling.delivery;
            vec![
                format!("  {}", delivery.created),
                delivery.receiver.clone(),
                delivery.state.to_string(),
                telling
                    .tries
                    .last()
                    .map_or_else(String::new, |attempt| attempt.answer.clone()),
                delivery
                    .message
                    .annotations
                    .get("summary")
                    .cloned()
                    .unwrap_or_default(),
            ]
        })
        .collect();
    let heading = ["  AT", "TO", "STATE", "LAST ANSWER", "WHAT"];
    format!("\nWho was told\n{}", table(&heading, &rows, "  Nobody."))
}

pub(super) fn alert_story(story: AlertStory) -> anyhow::Result<String> {
    let alert: Alert = noun(story.alert)?;
    let mut text = format!(
        "{} is {}, {}\n{}\n{}\n\nbegan  {}\nalert  {}\n\nWhat happened\n",
        alert.key,
        alert.state.as_str(),
        alert.severity,
        plain(alert.annotations.get("summary").map_or("", String::as_str)),
        plain(
            alert
                .annotations
                .get("description")
                .map_or("", String::as_str)
        ),
        alert.began,
        alert.id,
    );
    let mut rows = Vec::new();
    for shape in story.transitions {
        let transition: Transition = noun(shape)?;
        rows.push(vec![
            format!("  {}", transition.at),
            format!("{} to {}", transition.from.as_str(), transition.to.as_str()),
            transition.cause.as_str().to_owned(),
            evidence_text(&transition.evidence),
        ]);
    }
    text.push_str(&table(
        &["  AT", "MOVED", "CAUSE", "EVIDENCE"],
        &rows,
        "  Nothing yet.",
    ));
    text.push_str(&messages(&story.deliveries));
    if let Some(runbook) = alert.annotations.get("runbook_url") {
        text.push_str(&format!("\nWhat to do now\n  {}\n", plain(runbook)));
    }
    Ok(text)
}
