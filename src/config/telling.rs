//! `receivers:` and `route:`: who can hear, and who hears what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::http_probe::{self, SECRET, bad_regex};
use super::near;
use super::read::{self, Fields, SecretKeys};
use super::sink::{Note, Place, Sink};
use super::yaml::{Entry, Kind, Node};
use crate::domain::id::{Name, TenantId};
use crate::domain::objective::Severity;
use crate::domain::spec::{Address, Channel, Matcher, Pattern, Receiver, Route};

const KINDS_LATER: [&str; 3] = ["pagerduty", "email", "alertmanager"];

const WEBHOOK_URL: SecretKeys = SecretKeys {
    plain: "webhook_url",
    file: "webhook_url_file",
    env: "webhook_url_env",
};

const URL: SecretKeys = SecretKeys {
    plain: "url",
    file: "url_file",
    env: "url_env",
};

/// Reads all receivers.
pub(super) fn receivers(entries: &[Entry], sink: &Sink) -> BTreeMap<Name, Arc<Receiver>> {
    entries
        .iter()
        .filter_map(|entry| {
            let name = read::name(&entry.key, entry.place, sink);
            let channel = channel(entry, sink);
            let (name, channel) = (name?, channel?);
            Some((name.clone(), Arc::new(Receiver { name, channel })))
        })
        .collect()
}

fn channel(entry: &Entry, sink: &Sink) -> Option<Channel> {
    let what = format!("receiver `{}`", entry.key);
    let fields = Fields::open(&entry.value, entry.place, what, sink)?;
    let later = fields.later(&KINDS_LATER);
    fields.later(&["fallback"]);
    let (webhook_at, slack_at) = (fields.entry("webhook"), fields.entry("slack"));
    let channel = match (webhook_at, slack_at) {
        (Some(_), Some(slack)) => {
            sink.note(Note::later("several kinds in one receiver", slack.place));
            None
        }
        (Some(_), None) => webhook(&fields),
        (None, Some(_)) => slack(&fields),
        (None, None) => {
            if !later {
                fields.missing("webhook", "name a kind: `webhook` or `slack`");
            }
            None
        }
    };
    fields.done();
    channel
}

fn webhook(fields: &Fields<'_>) -> Option<Channel> {
    let inner = fields.inner("webhook", format!("`webhook` of {}", fields.what()))?;
    let plain = inner.has("url");
    let referred = inner.reference(&URL);
    let url = if plain {
        if referred.is_some() {
            let message = "`url` and a secret URL exclude each other".to_owned();
            inner.refuse("url", "bad-value", message);
        }
        http_probe::url(&inner, "url").map(Address::Plain)
    } else {
        if referred.is_none() && !inner.has("url_file") && !inner.has("url_env") {
            inner.missing("url", "write `url: https://…`, or `url_file: PATH`");
        }
        referred.map(Address::Secret)
    };
    let secret = inner.secret(&SECRET);
    inner.done();
    Some(Channel::Webhook { url: url?, secret })
}

fn slack(fields: &Fields<'_>) -> Option<Channel> {
    let inner = fields.inner("slack", format!("`slack` of {}", fields.what()))?;
    let webhook_url = inner.secret(&WEBHOOK_URL);
    let asked = ["webhook_url", "webhook_url_file", "webhook_url_env"].map(|key| inner.has(key));
    if !asked.contains(&true) {
        let note = Note::later("slack without an incoming webhook", inner.place);
        inner
            .sink()
            .note(note.hint("write `webhook_url_file: PATH`"));
    }
    let channel = inner.text("channel").map(str::to_owned);
    inner.done();
    Some(Channel::Slack {
        webhook_url: webhook_url?,
        channel,
    })
}

/// What a route is read against.
pub(super) struct Around<'a> {
    /// Names of all receivers, also of those that are faulty.
    pub receivers: &'a [Entry],
    /// Names of all tenants.
    pub tenants: BTreeSet<&'a str>,
    /// Collects faults.
    pub sink: &'a Sink,
}

/// Reads the route tree.
pub(super) fn route(entry: Option<&Entry>, around: &Around<'_>) -> Route {
    let Some(entry) = entry else {
        if let Some(receiver) = around.receivers.first() {
            let note = Note::lint(
                "nobody-hears",
                receiver.place,
                "there are receivers but no `route`",
            );
            around
                .sink
                .note(note.hint("write `route: { receivers: […] }`"));
        }
        return Route::default();
    };
    let Some(fields) = Fields::open(&entry.value, entry.place, "route", around.sink) else {
        return Route::default();
    };
    if let Some(matching) = fields.entry("match") {
        let note = Note::fault(
            "bad-value",
            matching.place,
            "the root of the routes matches everything",
        );
        around.sink.note(note.hint("put it into `routes`"));
    }
    let route = node(&fields, &[], around);
    let caught = route.routes.iter().any(|child| child.matchers.is_empty());
    if route.receivers.is_empty() && !around.receivers.is_empty() && !caught {
        let message =
            "the root route has no receivers: what no other route matches is told to nobody";
        around
            .sink
            .note(Note::lint("nobody-hears", entry.place, message));
    }
    fields.done();
    route
}

fn node(fields: &Fields<'_>, inherited: &[Name], around: &Around<'_>) -> Route {
    fields.later(&[
        "group_by",
        "group_wait",
        "group_interval",
        "repeat_interval",
        "escalate",
        "continue",
        "mute",
        "digest",
    ]);
    let receivers = fields.list("receivers").map_or_else(
        || inherited.to_vec(),
        |named| {
            named
                .into_iter()
                .filter_map(|(name, place)| receiver(name, place, around))
                .collect()
        },
    );
    let routes = children(fields, &receivers, around);
    Route {
        matchers: Vec::new(),
        receivers,
        routes,
    }
}

fn receiver(name: &str, place: Place, around: &Around<'_>) -> Option<Name> {
    if around.receivers.iter().any(|entry| entry.key == name) {
        return Name::try_new(name).ok();
    }
    let message = format!("there is no receiver `{name}`");
    let hint = near::hint(
        name,
        around.receivers.iter().map(|entry| entry.key.as_str()),
    );
    around
        .sink
        .note(Note::dangling(place, message).hint_if(hint));
    None
}

fn children(fields: &Fields<'_>, inherited: &[Name], around: &Around<'_>) -> Vec<Route> {
    let Some(entry) = fields.entry("routes") else {
        return Vec::new();
    };
    let Kind::Seq(items) = &entry.value.kind else {
        if entry.value.kind != Kind::Unknown {
            read::wrong(&entry.value, "routes", "a list", around.sink);
        }
        return Vec::new();
    };
    let mut routes: Vec<Route> = Vec::new();
    let mut everything: Option<Place> = None;
    for item in items {
        let Some(inner) = Fields::open(item, item.place, "route", around.sink) else {
            continue;
        };
        if let Some(place) = everything {
            let note = Note::lint(
                "unreachable-route",
                item.place,
                "no message reaches this route",
            );
            around
                .sink
                .note(note.also(place, "this one matches everything"));
        }
        let matchers = matchers(&inner, around);
        let route = Route {
            matchers,
            ..node(&inner, inherited, around)
        };
        if !inner.has("match") {
            everything = everything.or(Some(item.place));
        }
        inner.done();
        routes.push(route);
    }
    routes
}

fn matchers(fields: &Fields<'_>, around: &Around<'_>) -> Vec<Matcher> {
    let Some(inner) = fields.inner("match", "`match` of a route") else {
        return Vec::new();
    };
    inner
        .entries()
        .iter()
        .map(|entry| {
            let items = match &entry.value.kind {
                Kind::Seq(items) => items.as_slice(),
                _ => std::slice::from_ref(&entry.value),
            };
            if items.is_empty() {
                let message = format!("`{}` is any of nothing, which nothing is", entry.key);
                around
                    .sink
                    .note(Note::fault("never-true", entry.value.place, message));
            }
            Matcher {
                label: entry.key.clone(),
                any_of: items
                    .iter()
                    .filter_map(|item| pattern(&entry.key, item, around))
                    .collect(),
            }
        })
        .collect()
}

fn pattern(label: &str, node: &Node, around: &Around<'_>) -> Option<Pattern> {
    let text = read::text(node, label, around.sink)?;
    let inner = text
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'));
    if let Some(inner) = inner.filter(|_| text.len() >= 2) {
        if let Err(error) = regex::Regex::new(&format!("^(?:{inner})$")) {
            around.sink.note(bad_regex(label, node.place, &error));
            return None;
        }
        return Some(Pattern::Regex(inner.to_owned()));
    }
    if label == "severity" && Severity::parse(text).is_none() {
        let message = format!("no alert has the severity `{text}`");
        let note = Note::fault("never-true", node.place, message);
        around.sink.note(note.hint("info, warning or critical"));
    }
    if label == "tenant" && text != TenantId::own().0.as_str() && !around.tenants.contains(text) {
        let message = format!("there is no tenant `{text}`");
        let hint = near::hint(text, around.tenants.iter().copied());
        let note = Note::lint("unknown-tenant", node.place, message).hint_if(hint);
        around.sink.note(note);
    }
    Some(Pattern::Exact(text.to_owned()))
}
