//! A message as text for people, rendered once for every receiver that shows text: what is broken and
//! for whom, how bad, since when, why, what Holdfast did or will do, and where to read on.
//!
//! The first line stands alone: it is what a telephone shows. Summary and description were written
//! where the alert was judged or the decision taken; nothing is judged here.

use std::collections::BTreeMap;

use crate::domain::delivery::{Message, Reason, Status};
use crate::domain::time::{Spelled, Timestamp};

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line: severity or end, and what is the matter.
    pub title: String,
    /// Short paragraphs, the most important first.
    pub paragraphs: Vec<String>,
    /// Where to read on.
    pub links: Vec<Link>,
    /// One line: further labels, and the thread.
    pub foot: String,
}

/// A link with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is there.
    pub name: &'static str,
    /// Where.
    pub url: String,
}

/// Labels that the text itself speaks of.
const SPOKEN: [&str; 7] = [
    "alertname",
    "tenant",
    "objective",
    "probe",
    "severity",
    "workload",
    "namespace",
];

/// Annotations that are links, with their names.
const LINKS: [(&str, &str); 3] = [
    ("dashboard", "Open in Holdfast"),
    ("decision", "Decision and evidence"),
    ("runbook_url", "Runbook"),
];

/// Renders a message.
#[must_use]
pub fn render(message: &Message) -> Text {
    let paragraphs = [
        annotation(message, "description").map(str::to_owned),
        concerned(&message.labels),
        change(message),
        Some(span(message)),
    ];
    Text {
        title: title(message),
        paragraphs: paragraphs.into_iter().flatten().collect(),
        links: links(message),
        foot: foot(message),
    }
}

// === impl Text ===

impl Text {
    /// All of it as plain text.
    #[must_use]
    pub fn plain(&self) -> String {
        let links = self.links.iter();
        let links = links.map(|link| format!("{}: {}", link.name, link.url));
        let lines: Vec<String> = std::iter::once(self.title.clone())
            .chain(self.paragraphs.iter().cloned())
            .chain(links)
            .chain(std::iter::once(self.foot.clone()))
            .collect();
        lines.join("\n")
    }
}

fn title(message: &Message) -> String {
    let word = match message.status {
        Status::Resolved => "RESOLVED".to_owned(),
        Status::Firing => message.severity.as_str().to_uppercase(),
    };
    let raised = match message.reason {
        Reason::Raised => " (raised)",
        Reason::First | Reason::Resolved | Reason::Rollback => "",
    };
    let summary = match annotation(message, "summary") {
        Some(summary) => summary.split_whitespace().collect::<Vec<_>>().join(" "),
        None => {
            let what = label(&message.labels, "alertname").unwrap_or("something");
            match label(&message.labels, "tenant") {
                Some(tenant) => format!("{what} of {tenant}"),
                None => what.to_owned(),
            }
        }
    };
    format!("{word}{raised}: {summary}")
}

/// For whom, and what of theirs.
fn concerned(labels: &BTreeMap<String, String>) -> Option<String> {
    let named = ["tenant", "objective", "probe", "namespace", "workload"];
    let parts: Vec<String> = named
        .iter()
        .filter_map(|name| Some(format!("{name} {}", label(labels, name)?)))
        .collect();
    let mut text = parts.join(", ");
    let first = text.get(..1)?.to_uppercase();
    text.replace_range(..1, &first);
    Some(format!("{text}."))
}

/// What Holdfast did or will do.
fn change(message: &Message) -> Option<String> {
    let from = annotation(message, "from").map(|from| format!("From: {from}."));
    let to = annotation(message, "to").map(|to| format!("To: {to}."));
    let reason = annotation(message, "reason").map(|reason| format!("Reason: {reason}"));
    let parts: Vec<String> = [from, to, reason].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn span(message: &Message) -> String {
    let from = seconds(message.starts_at);
    match message.ends_at {
        Some(end) => {
            let lasted = end.since(message.starts_at).as_secs();
            let lasted = Spelled(std::time::Duration::from_secs(lasted));
            format!("From {from} until {} ({lasted}).", seconds(end))
        }
        None => format!("Since {from}."),
    }
}

/// To the second: more digits say nothing to people.
fn seconds(instant: Timestamp) -> String {
    let whole = Timestamp::from_secs(instant.as_micros().div_euclid(1_000_000));
    whole.to_string().replace('T', " ").replace('Z', " UTC")
}

fn links(message: &Message) -> Vec<Link> {
    let web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    LINKS
        .iter()
        .filter_map(|(key, name)| {
            let url = annotation(message, key).filter(web)?.to_owned();
            Some(Link { name, url })
        })
        .collect()
}

fn foot(message: &Message) -> String {
    let others = message.labels.iter();
    let others = others.filter(|(name, _)| !SPOKEN.contains(&name.as_str()));
    let mut parts: Vec<String> = others
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.push(format!("holdfast {}", message.thread.short()));
    parts.join(" · ")
}

fn annotation<'a>(message: &'a Message, key: &str) -> Option<&'a str> {
    label(&message.annotations, key)
}

fn label<'a>(labels: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let value = labels.get(name)?.trim();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::id::Digest;
    use crate::domain::objective::Severity;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    pub(crate) fn firing() -> Message {
        Message {
            status: Status::Firing,
            reason: Reason::First,
            severity: Severity::Critical,
            thread: Digest([0xab; 16]),
            labels: map(&[
                ("alertname", "error-rate"),
                ("tenant", "acme"),
                ("objective", "error-rate"),
                ("probe", "traffic"),
                ("severity", "critical"),
                ("team", "payments"),
            ]),
            annotations: map(&[
                ("summary", "error-rate of acme/traffic is 19.8%,\nabove 10%"),
                (
                    "description",
                    "198 of 1000 requests failed in 5m; last: 500 <internal> & so on",
                ),
                ("runbook_url", "https://runbooks.example.com/errors"),
                ("dashboard", "http://holdfast.example.com:9811/alerts/1"),
            ]),
            starts_at: "2026-01-05T09:00:00.25Z".parse().unwrap(),
            ends_at: None,
        }
    }

    #[test]
    fn a_firing_alert_says_what_for_whom_how_bad_and_since_when() {
        let expected = "\
CRITICAL: error-rate of acme/traffic is 19.8%, above 10%
198 of 1000 requests failed in 5m; last: 500 <internal> & so on
Tenant acme, objective error-rate, probe traffic.
Since 2026-01-05 09:00:00 UTC.
Open in Holdfast: http://holdfast.example.com:9811/alerts/1
Runbook: https://runbooks.example.com/errors
team=payments · holdfast abababababab";
        assert_eq!(render(&firing()).plain(), expected);
    }

    #[test]
    fn a_resolved_alert_says_how_long_it_lasted() {
        let message = Message {
            status: Status::Resolved,
            reason: Reason::Resolved,
            labels: map(&[("alertname", "error-rate"), ("tenant", "acme")]),
            annotations: BTreeMap::new(),
            ends_at: Some("2026-01-05T09:04:10.5Z".parse().unwrap()),
            ..firing()
        };
        let expected = "\
RESOLVED: error-rate of acme
Tenant acme.
From 2026-01-05 09:00:00 UTC until 2026-01-05 09:04:10 UTC (4m10s).
holdfast abababababab";
        assert_eq!(render(&message).plain(), expected);
    }

    #[test]
    fn a_rollback_says_from_where_to_where_and_why_and_only_web_addresses_become_links() {
        let message = Message {
            reason: Reason::Rollback,
            severity: Severity::Warning,
            labels: map(&[
                ("alertname", "rollback"),
                ("tenant", "acme"),
                ("workload", "api"),
            ]),
            annotations: map(&[
                ("summary", "acme/api is rolled back"),
                ("from", "revision 2 (api:2.0)"),
                ("to", "revision 1 (api:1.0)"),
                ("reason", "errors began 40s after the rollout"),
                ("decision", "javascript:alert(1)"),
            ]),
            ..firing()
        };
        let expected = "\
WARNING: acme/api is rolled back
Tenant acme, workload api.
From: revision 2 (api:2.0). To: revision 1 (api:1.0). Reason: errors began 40s after the rollout
Since 2026-01-05 09:00:00 UTC.
holdfast abababababab";
        assert_eq!(render(&message).plain(), expected);
    }

    #[test]
    fn a_raised_severity_stands_in_the_first_line() {
        let message = Message {
            reason: Reason::Raised,
            ..firing()
        };
        assert!(
            render(&message)
                .title
                .starts_with("CRITICAL (raised): error-rate")
        );
    }
}
