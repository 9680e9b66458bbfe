//! The page of one decision: the whole story, from the release to the last message.

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use super::{
    Chip, Frame, MessageRow, Moment, Tone, View, chart, clock, render, roughly, stage_chip,
    trust_chip,
};
use crate::domain::alert::{Alert, Evidence};
use crate::domain::decision::{Candidate, Decision, GuardResult, Trigger, Verdict};
use crate::domain::rollback::{Rollback, Stage};
use crate::domain::standing::Trust;
use crate::domain::time::Timestamp;
use crate::http::advice;
use crate::http::api::decisions::{Story, story};
use crate::http::asking::{Asked, At};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::rollout::Rollout;
use crate::store::{AlertFilter, Window};

#[derive(Template)]
#[template(path = "decision.html")]
struct DecisionPage {
    frame: Frame,
    chip: Chip,
    headline: String,
    reason: String,
    advice: String,
    advice_tone: Tone,
    events: Vec<Event>,
    change: Option<Change>,
    no_change: &'static str,
    evidence: Vec<EvidenceItem>,
    no_evidence: &'static str,
    candidates: Vec<CandidateRow>,
    guards: Vec<GuardRow>,
    messages: Vec<MessageRow>,
    id: String,
    rollback: Option<String>,
    trigger: String,
    alert: Option<String>,
    workload: String,
    target: String,
    mode: &'static str,
}

/// One line of a story.
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) clock: String,
    pub(super) after: String,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) tone: Tone,
}

impl Event {
    pub(super) fn new(
        at: Timestamp,
        tone: Tone,
        title: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            at,
            clock: clock(at),
            after: String::new(),
            title: title.into(),
            detail: detail.into(),
            tone,
        }
    }
}

/// Puts events in order and says how long after the first each was.
pub(super) fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| event.at);
    let Some(first) = events.first().map(|event| event.at) else {
        return events;
    };
    for event in events.iter_mut().skip(1) {
        event.after = format!("+{}", roughly(event.at.since(first)));
    }
    events
}

struct Change {
    before: String,
    before_images: Vec<String>,
    began: String,
    revision: u64,
    trust: Chip,
    images: Vec<String>,
    by: Option<String>,
    cause: Option<String>,
    template: String,
}

/// What a verdict rested on, ready to show.
pub(super) struct EvidenceItem {
    pub(super) shown: String,
    pub(super) measure: String,
    pub(super) condition_words: &'static str,
    pub(super) condition: String,
    pub(super) about: String,
    pub(super) why: Option<String>,
    pub(super) chart: Option<String>,
}

impl EvidenceItem {
    pub(super) fn new(evidence: &Evidence, began: Option<Timestamp>) -> Self {
        let windowed = !evidence.over.is_zero();
        let over = if windowed {
            format!(" over {}", roughly(evidence.over))
        } else {
            String::new()
        };
        let void = match evidence.void {
            0 => String::new(),
            1 => "; one look could not be made".to_owned(),
            count => format!("; {count} looks could not be made"),
        };
        Self {
            shown: evidence
                .shown
                .clone()
                .or_else(|| evidence.value.map(|value| value.to_string()))
                .unwrap_or_else(|| "nothing measured".to_owned()),
            measure: format!("{}{over}", evidence.measure),
            condition_words: "and must not be",
            condition: evidence.condition.clone(),
            about: format!(
                "{}: {} of {} events were bad between {} and {}{void}.",
                evidence.key,
                evidence.tally.bad,
                evidence.tally.valid(),
                clock(evidence.window.from),
                clock(evidence.window.to),
            ),
            why: evidence.why.as_ref().map(ToString::to_string),
            chart: chart::draw(evidence, began),
        }
    }
}

struct CandidateRow {
    chip: Chip,
    name: String,
    images: Vec<String>,
    why: String,
    proven: Option<Moment>,
}

struct GuardRow {
    chip: Chip,
    name: String,
    detail: String,
}

/// The page.
pub(in crate::http) async fn page(
    State(app): State<App>,
    At(id): At<String>,
    Asked(view): Asked<View>,
) -> Result<Html<String>, Problem> {
    let story = story(&app, &id).await?;
    let alert = alert_of(&app, &story.decision).await?;
    render(&show(&app, &view, &story, alert.as_ref()))
}

/// The episode that the trigger speaks of: the youngest that had begun by then.
async fn alert_of(app: &App, decision: &Decision) -> Result<Option<Alert>, Problem> {
    let Trigger::Objective(key) = &decision.trigger else {
        return Ok(None);
    };
    /// A tenant with more episodes than this since the decision has other worries.
    const EPISODES: usize = 500;
    let filter = AlertFilter {
        tenant: Some(key.tenant.clone()),
        ..AlertFilter::default()
    };
    let window = Window {
        before: None,
        limit: EPISODES,
    };
    let alerts = app.desk.store().alerts(&filter, window).await?;
    Ok(alerts
        .into_iter()
        .filter(|alert| alert.key == *key && alert.began <= decision.at)
        .max_by_key(|alert| alert.began))
}

fn show(app: &App, view: &View, story: &Story, alert: Option<&Alert>) -> DecisionPage {
    let now = app.desk.now();
    let decision = &story.decision;
    let rollback = story.rollback.as_ref();
    let began = story
        .rollout
        .as_ref()
        .and_then(|rollout| rollout.began.parse().ok());
    let (chip, headline) = headline(story);
    let lively = rollback.is_some_and(|rollback| !rollback.stage.terminal());
    DecisionPage {
        frame: Frame::new(app, view, headline.clone(), lively),
        chip,
        headline,
        reason: decision.reason.clone(),
        advice: advice::on(decision, rollback),
        advice_tone: chip.tone,
        events: events(story, alert),
        change: story.rollout.as_ref().map(change),
        no_change: match &decision.rollout {
            Some(_) => "The blamed rollout is not in the ledger any more.",
            None => "No rollout is blamed.",
        },
        evidence: decision
            .evidence
            .iter()
            .map(|evidence| EvidenceItem::new(evidence, began))
            .collect(),
        no_evidence: match &decision.trigger {
            Trigger::Person(_) => "A person asked for it; no measurement was needed.",
            Trigger::ProgressDeadline => {
                "The platform gave up on the rollout (ProgressDeadlineExceeded)."
            }
            Trigger::Objective(_) => "No measurement came with the petition.",
        },
        candidates: decision
            .candidates
            .iter()
            .map(|row| candidate(row, now))
            .collect(),
        guards: decision.guards.iter().map(guard).collect(),
        messages: story
            .deliveries
            .iter()
            .map(|row| MessageRow::new(row, now))
            .collect(),
        id: decision.id.to_string(),
        rollback: rollback.map(|rollback| rollback.id.to_string()),
        trigger: decision.trigger.to_string(),
        alert: alert.map(|alert| alert.id.to_string()),
        workload: decision.workload.to_string(),
        target: decision.target.to_string(),
        mode: decision.mode.as_str(),
    }
}

fn target_name(decision: &Decision) -> String {
    let Verdict::RollBack { to, .. } = &decision.verdict else {
        return String::new();
    };
    decision
        .candidates
        .iter()
        .find(|candidate| candidate.template == *to)
        .and_then(|candidate| candidate.revision)
        .map_or_else(
            || format!("template {}", to.0.short()),
            |number| format!("revision {number}"),
        )
}

fn headline(story: &Story) -> (Chip, String) {
    let decision = &story.decision;
    let workload = &decision.workload;
    match (&decision.verdict, &story.rollback) {
        (Verdict::Hold(hold), _) => (
            Chip {
                tone: Tone::Warn,
                word: "held",
            },
            format!("{workload} was left as it is: {hold}"),
        ),
        (Verdict::RollBack { .. }, Some(rollback)) => {
            let to = target_name(decision);
            let text = match &rollback.stage {
                Stage::Requested | Stage::Applying { .. } | Stage::Verifying { .. } => {
                    format!("{workload} is being rolled back to {to}")
                }
                Stage::Succeeded => format!("{workload} was rolled back to {to}, and it helped"),
                Stage::NotCaused => {
                    format!("{workload} was rolled back to {to}, but the release was not the cause")
                }
                Stage::Failed { .. } => format!("Rolling {workload} back to {to} failed"),
                Stage::Superseded { .. } => {
                    format!("{workload} was changed by somebody else before it was rolled back")
                }
            };
            (stage_chip(&rollback.stage), text)
        }
        (Verdict::RollBack { .. }, None) => (
            Chip {
                tone: Tone::Busy,
                word: "decided",
            },
            format!(
                "{workload} is to be rolled back to {}",
                target_name(decision)
            ),
        ),
    }
}

fn events(story: &Story, alert: Option<&Alert>) -> Vec<Event> {
    let decision = &story.decision;
    let mut events = Vec::new();
    if let Some(rollout) = &story.rollout {
        let instant = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
        let name = format!("revision {}", rollout.revision);
        if let Ok(began) = rollout.began.parse() {
            let by = rollout
                .changed_by
                .as_ref()
                .map_or_else(String::new, |by| format!("by {by}"));
            events.push(Event::new(
                began,
                Tone::Quiet,
                format!("Rollout of {name} began"),
                by,
            ));
        }
        if let Some(done) = instant(&rollout.done) {
            events.push(Event::new(
                done,
                Tone::Quiet,
                format!("{name} is rolled out"),
                "",
            ));
        }
        if let Some(failed) = instant(&rollout.failed) {
            events.push(Event::new(
                failed,
                Tone::Bad,
                "The platform gave up on the rollout",
                "",
            ));
        }
    }
    if let Some(alert) = alert {
        let key = format!("({})", alert.key);
        events.push(Event::new(alert.began, Tone::Bad, "The promise broke", key));
        if let Some(fired) = alert.fired {
            let title = format!("The alert fired as {}", alert.severity);
            events.push(Event::new(fired, Tone::Bad, title, ""));
        }
        if let Some(ended) = alert.ended {
            let title = format!("The alert ended: {}", alert.cause.as_str());
            events.push(Event::new(ended, Tone::Good, title, ""));
        }
    }
    let (title, tone) = match &decision.verdict {
        Verdict::RollBack { .. } => (
            format!("Decided to roll back to {}", target_name(decision)),
            Tone::Busy,
        ),
        Verdict::Hold(hold) => (format!("Held: {hold}"), Tone::Warn),
    };
    events.push(Event::new(decision.at, tone, title, ""));
    events.extend(story.rollback.iter().flat_map(steps));
    in_order(events)
}

fn steps(rollback: &Rollback) -> impl Iterator<Item = Event> + '_ {
    rollback.steps.iter().map(|step| {
        let tone = match step.stage {
            "succeeded" => Tone::Good,
            "failed" => Tone::Bad,
            "not-caused-by-release" | "superseded" => Tone::Warn,
            _ => Tone::Busy,
        };
        Event::new(
            step.at,
            tone,
            format!("Rollback {}:", step.stage),
            step.what.clone(),
        )
    })
}

fn change(rollout: &Rollout) -> Change {
    let trust = Trust::ALL
        .into_iter()
        .find(|trust| trust.as_str() == rollout.trust);
    Change {
        before: match (&rollout.from, rollout.first_sight) {
            (_, true) => "unknown: it was there at first sight".to_owned(),
            (None, false) => "nothing".to_owned(),
            (Some(template), false) => {
                let short: String = template.chars().take(12).collect();
                format!("template {short}")
            }
        },
        before_images: rollout.from_images.clone(),
        began: rollout.began.clone(),
        revision: rollout.revision,
        trust: trust_chip(trust.unwrap_or(Trust::Seen)),
        images: rollout.images.clone(),
        by: rollout.changed_by.clone(),
        cause: rollout.change_cause.clone(),
        template: rollout.template.clone(),
    }
}

fn candidate(row: &Candidate, now: Timestamp) -> CandidateRow {
    let chosen = row.rejected.is_none();
    CandidateRow {
        chip: Chip {
            tone: if chosen { Tone::Good } else { Tone::Quiet },
            word: if chosen { "target" } else { "rejected" },
        },
        name: row.revision.map_or_else(
            || format!("template {}", row.template.0.short()),
            |number| format!("revision {number}"),
        ),
        images: row.images.iter().map(ToString::to_string).collect(),
        why: row
            .rejected
            .clone()
            .unwrap_or_else(|| "the revision to go back to".to_owned()),
        proven: row.proven.map(|at| Moment { at, now }),
    }
}

fn guard(result: &GuardResult) -> GuardRow {
    let chip = match result.result {
        Ok(()) => Chip {
            tone: Tone::Good,
            word: "passed",
        },
        Err(_) => Chip {
            tone: Tone::Bad,
            word: "holds",
        },
    };
    GuardRow {
        chip,
        name: match result.result {
            Err(hold) if hold.as_str() != &*result.guard => format!("{} ({hold})", result.guard),
            Ok(()) | Err(_) => result.guard.to_string(),
        },
        detail: result.detail.clone(),
    }
}
