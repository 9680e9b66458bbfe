//! `probes:` of plans and tenants to valid probes. One kind of target a function; `http` in its own file.

use std::collections::BTreeMap;
use std::time::Duration;

use super::defaults::Defaults;
use super::http_probe;
use super::read::Fields;
use super::sink::{Note, Sink};
use super::yaml::Entry;
use crate::domain::id::{Digest, Name, ProbeId};
use crate::domain::target::{
    CounterPart, EmptyResult, HeartbeatTarget, Probe, PrometheusForm, PrometheusTarget, Target,
    TcpTarget,
};

/// The shortest interval: ten looks a second at one target are a load, not a watch.
pub(super) const EVERY_MIN: Duration = Duration::from_millis(100);

/// Labels that Holdfast itself sets on every alert.
const OWN_LABELS: [&str; 5] = ["alertname", "tenant", "objective", "probe", "severity"];

/// Kinds that the language names and this version does not have.
const KINDS_LATER: [&str; 10] = [
    "tls",
    "dns",
    "grpc",
    "websocket",
    "icmp",
    "sql",
    "kubernetes",
    "logs",
    "exec",
    "scrape",
];

/// Reads one probe.
pub(super) fn read(entry: &Entry, id: ProbeId, defaults: &Defaults, sink: &Sink) -> Option<Probe> {
    let what = format!("probe `{}`", entry.key);
    let fields = Fields::open(&entry.value, entry.place, what, sink)?;
    fields.boolean("enabled");
    let every = interval(&fields, defaults);
    let timeout = deadline(&fields, every, defaults);
    let retries = fields.small("retries").unwrap_or(defaults.retries);
    let mut all = defaults.probe_labels.clone();
    all.extend(labels(&fields));
    fields.later(&["depends_on"]);
    let target = target(&fields, defaults);
    fields.done();
    Some(Probe {
        id,
        target: target?,
        every,
        timeout,
        retries,
        labels: all,
    })
}

fn interval(fields: &Fields<'_>, defaults: &Defaults) -> Duration {
    let Some(every) = fields.positive("every") else {
        return defaults.every;
    };
    if every < EVERY_MIN {
        fields.refuse("every", "bad-value", "`every` is at least 100ms".to_owned());
    }
    every
}

fn deadline(fields: &Fields<'_>, every: Duration, defaults: &Defaults) -> Duration {
    let Some(timeout) = fields.positive("timeout") else {
        return defaults.timeout.min(every);
    };
    if timeout > every {
        let every = crate::domain::time::Spelled(every);
        let message = format!("the timeout is longer than `every` ({every})");
        fields.refuse("timeout", "timeout-beyond-interval", message);
    }
    timeout
}

/// Labels on alerts: names as Prometheus has them, none that Holdfast sets itself.
pub(super) fn labels(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let labels = fields.texts("labels");
    let Some(map) = fields.entry("labels").and_then(|entry| entry.value.map()) else {
        return labels;
    };
    for entry in &map.entries {
        let mut letters = entry.key.chars();
        let first = letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let valid = first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            let message = format!("`{}` is not a label name", entry.key);
            let note = Note::fault("bad-name", entry.place, message);
            fields
                .sink()
                .note(note.hint("letters, digits and `_`, not beginning with a digit"));
        } else if OWN_LABELS.contains(&entry.key.as_str()) {
            let message = format!("the label `{}` is set by Holdfast itself", entry.key);
            fields
                .sink()
                .note(Note::fault("reserved-name", entry.place, message));
        }
    }
    labels
}

fn target(fields: &Fields<'_>, defaults: &Defaults) -> Option<Target> {
    let later = fields.later(&KINDS_LATER);
    let named = ["http", "tcp", "prometheus", "heartbeat"].map(|kind| (kind, fields.entry(kind)));
    let present: Vec<_> = named
        .iter()
        .filter_map(|(kind, entry)| Some((*kind, (*entry)?)))
        .collect();
    if let [first, second, ..] = present.as_slice() {
        let message = format!("a probe has one kind, not `{}` and `{}`", first.0, second.0);
        let note = Note::fault("bad-value", second.1.place, message);
        fields.sink().note(note.also(first.1.place, "the other"));
        return None;
    }
    let Some((kind, _)) = present.first() else {
        if !later {
            let hint = "name a kind: `http`, `tcp`, `prometheus` or `heartbeat`";
            fields.missing("http", hint);
        }
        return None;
    };
    let json_value = fields.entry("value");
    if let Some(entry) = json_value
        && *kind != "http"
    {
        fields
            .sink()
            .note(Note::later("value of this kind of probe", entry.place));
    }
    let what = format!("`{kind}` of {}", fields.what());
    match *kind {
        "http" => {
            let inner = fields.inner("http", what)?;
            http_probe::read(inner, json_value).map(|http| Target::Http(Box::new(http)))
        }
        "tcp" => tcp(fields.inner("tcp", what)?).map(Target::Tcp),
        "prometheus" => {
            prometheus(fields.inner("prometheus", what)?, defaults).map(Target::Prometheus)
        }
        _ => heartbeat(fields.inner("heartbeat", what)?).map(Target::Heartbeat),
    }
}

fn tcp(fields: Fields<'_>) -> Option<TcpTarget> {
    let host = fields
        .required("host", "a host name or an address")
        .and_then(|_| fields.text("host"));
    let port = fields
        .required("port", "a number from 1 to 65535")
        .and_then(|_| fields.count("port"));
    if let Some(host) = host {
        let wrong = |c: char| c.is_whitespace() || c == '/' || c.is_control();
        if host.is_empty() || host.contains(wrong) {
            fields.refuse(
                "host",
                "bad-value",
                "`host` is a host name or an address".to_owned(),
            );
        }
    }
    let port = port.and_then(|port| match u16::try_from(port) {
        Ok(port) if port > 0 => Some(port),
        _ => {
            fields.refuse(
                "port",
                "bad-value",
                "a port is a number from 1 to 65535".to_owned(),
            );
            None
        }
    });
    fields.done();
    Some(TcpTarget {
        host: host?.to_owned(),
        port: port?,
    })
}

fn heartbeat(fields: Fields<'_>) -> Option<HeartbeatTarget> {
    let max_age = fields
        .required(
            "max_age",
            "the longest silence that is still good, for instance `5m`",
        )
        .and_then(|_| fields.positive("max_age"));
    fields.done();
    Some(HeartbeatTarget { max_age: max_age? })
}

fn prometheus(fields: Fields<'_>, defaults: &Defaults) -> Option<PrometheusTarget> {
    let url = source(&fields, defaults);
    let later = fields.later(&["histogram"]);
    let query = text_entry(&fields, "query");
    let total = text_entry(&fields, "total");
    let (bad, good) = (text_entry(&fields, "bad"), text_entry(&fields, "good"));
    let form = match (fields.has("query"), fields.has("total")) {
        (true, true) => {
            let message = "a Prometheus probe has `query` or `total`, not both".to_owned();
            fields.refuse("total", "bad-value", message);
            None
        }
        (true, false) => value_form(&fields, query),
        (false, true) => counters_form(&fields, total, bad, good),
        (false, false) => {
            if !later {
                fields.missing("query", "write `query`, or `total` with `bad` or `good`");
            }
            fields.has("empty");
            fields.has("pod_label");
            None
        }
    };
    fields.done();
    let url = url?;
    Some(PrometheusTarget {
        source: source_name(&url, defaults),
        url,
        form: form?,
    })
}

fn text_entry<'t>(fields: &Fields<'t>, key: &'static str) -> Option<&'t str> {
    let text = fields.text(key)?;
    if let Some(why) = unbalanced(text) {
        fields.refuse(key, "bad-query", why.to_owned());
        return None;
    }
    Some(text)
}

fn value_form(fields: &Fields<'_>, query: Option<&str>) -> Option<PrometheusForm> {
    for key in ["bad", "good", "pod_label"] {
        if fields.has(key) {
            let message = format!("`{key}` belongs to `total`, not to `query`");
            fields.refuse(key, "bad-value", message);
        }
    }
    let empty = match fields.text("empty") {
        None | Some("void") => EmptyResult::Void,
        Some("good") => EmptyResult::Good,
        Some("bad") => EmptyResult::Bad,
        Some(_) => {
            fields.refuse(
                "empty",
                "bad-value",
                "`empty` is void, good or bad".to_owned(),
            );
            EmptyResult::Void
        }
    };
    let query = query?.to_owned();
    Some(PrometheusForm::Query { query, empty })
}

fn counters_form(
    fields: &Fields<'_>,
    total: Option<&str>,
    bad: Option<&str>,
    good: Option<&str>,
) -> Option<PrometheusForm> {
    if fields.has("empty") {
        fields.refuse(
            "empty",
            "bad-value",
            "`empty` belongs to `query`".to_owned(),
        );
    }
    for (key, selector) in [("total", total), ("bad", bad), ("good", good)] {
        if selector.is_some_and(|selector| !is_selector(selector)) {
            let message = format!(
                "`{key}` is the selector of a counter, such as `requests_total{{code=\"500\"}}`"
            );
            let place = fields
                .entry(key)
                .map_or(fields.place, |entry| entry.value.place);
            let note = Note::fault("bad-query", place, message);
            fields
                .sink()
                .note(note.hint("without functions: Holdfast takes each series' increase itself"));
        }
    }
    let part = match (fields.has("bad"), fields.has("good")) {
        (true, false) => bad.map(|bad| CounterPart::Bad(bad.to_owned())),
        (false, true) => good.map(|good| CounterPart::Good(good.to_owned())),
        (true, true) => {
            let message = "`bad` and `good` exclude each other".to_owned();
            fields.refuse("good", "bad-value", message);
            None
        }
        (false, false) => {
            fields.missing("bad", "say which events are `bad`, or which are `good`");
            None
        }
    };
    let pod_label = fields.text("pod_label").unwrap_or("pod").to_owned();
    Some(PrometheusForm::Counters {
        total: total?.to_owned(),
        part: part?,
        pod_label,
    })
}

fn source(fields: &Fields<'_>, defaults: &Defaults) -> Option<String> {
    if fields.has("url") {
        return http_probe::url(fields, "url");
    }
    if defaults.prometheus.is_none() {
        let message = format!("{} has no Prometheus to ask", fields.what());
        let note = Note::fault("missing-key", fields.place, message).needs_all_files();
        fields
            .sink()
            .note(note.hint("set `daemon.prometheus.url`, or `url` here"));
    }
    defaults.prometheus.clone()
}

/// The name under which Holdfast's own blindness alert speaks of a source.
fn source_name(url: &str, defaults: &Defaults) -> Name {
    if defaults.prometheus.as_deref() == Some(url) {
        return Name::literal("prometheus");
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let words: String = rest
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let short: String = words.trim_matches('-').chars().take(50).collect();
    let simple =
        !rest.trim_end_matches('/').contains('/') && short.len() == words.trim_matches('-').len();
    let digest = Digest::of(&[url]).short();
    let text = if simple {
        short
    } else {
        format!("{short}-{digest}")
    };
    Name::try_new(&text).unwrap_or_else(|_| Name::literal("prometheus-other"))
}

/// A metric's name, matchers in braces, or both; nothing around it.
fn is_selector(text: &str) -> bool {
    let text = text.trim();
    let name = text.find('{').map_or(text, |at| &text[..at]).trim_end();
    let matchers = &text[name.len()..].trim_start();
    let named = name.is_empty()
        || (name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let closed = matchers.is_empty()
        || (matchers.ends_with('}') && closing(matchers) == Some(matchers.len()));
    named && closed && !(name.is_empty() && matchers.is_empty())
}

/// Where the brace that opens the text is closed.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(q) if c == '\\' && q != '`' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return Some(at + 1),
            None => {}
        }
    }
    None
}

/// What a glance at a query's brackets and quotes shows; the rest Prometheus says itself.
fn unbalanced(text: &str) -> Option<&'static str> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(c) => {
                return Some("the query's brackets do not match");
            }
            (None, _) => {}
        }
    }
    if text.trim().is_empty() {
        Some("the query is empty")
    } else if quote.is_some() {
        Some("a quote in the query is not closed")
    } else if open.is_empty() {
        None
    } else {
        Some("a bracket in the query is not closed")
    }
}
