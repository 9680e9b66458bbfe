//! The configuration in force as a file again: defaults and inheritance spelled out, placeholders put in,
//! secrets by reference only. What is shown can be loaded, and means the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::objective::{Condition, NoData, Objective, Unit};
use crate::domain::spec::{
    Address, Channel, Matcher, Mode, Pattern, Receiver, Route, Spec, Tenant, Workload,
};
use crate::domain::target::{
    CounterPart, EmptyResult, HeaderValue, HttpTarget, Probe, PrometheusForm, PrometheusTarget,
    SecretRef, Target,
};
use crate::domain::time::Spelled;

use super::emit::{self, Shown};
use super::quantity;
use super::settings::{KubernetesAccess, Settings};

/// The whole configuration as YAML.
#[must_use]
pub fn yaml(spec: &Spec, settings: &Settings) -> String {
    let tenants = spec
        .tenants
        .values()
        .map(|one| (one.id.to_string(), tenant(one)));
    let receivers = spec
        .receivers
        .values()
        .map(|one| (one.name.to_string(), receiver(one)));
    let whole = Shown::Map(vec![
        field("daemon", daemon(settings)),
        field(
            "rollback",
            Shown::Map(vec![
                field("mode", mode(spec.rollback.mode)),
                field(
                    "budget",
                    Shown::Map(vec![
                        field("per_hour", number(spec.rollback.per_hour)),
                        field(
                            "per_tenant_per_day",
                            number(spec.rollback.per_tenant_per_day),
                        ),
                    ]),
                ),
            ]),
        ),
        field("tenants", Shown::Map(tenants.collect())),
        field("receivers", Shown::Map(receivers.collect())),
        field("route", route(&spec.route)),
    ]);
    emit::yaml(&whole)
}

fn field(key: &str, value: Shown) -> (String, Shown) {
    (key.to_owned(), value)
}

fn text(text: impl Into<String>) -> Shown {
    Shown::Text(text.into())
}

fn number(number: impl ToString) -> Shown {
    Shown::Plain(number.to_string())
}

fn duration(duration: Duration) -> Shown {
    text(Spelled(duration).to_string())
}

fn mode(mode: Mode) -> Shown {
    text(mode.as_str())
}

/// Text that is read with placeholders: a dollar is `$$`.
fn literal(content: &str) -> Shown {
    text(content.replace('$', "$$"))
}

fn literals(map: &BTreeMap<String, String>) -> Shown {
    Shown::Map(
        map.iter()
            .map(|(key, value)| (key.clone(), literal(value)))
            .collect(),
    )
}

fn secret(key: &str, secret: &SecretRef) -> (String, Shown) {
    match secret {
        SecretRef::File(path) => (format!("{key}_file"), literal(&path.display().to_string())),
        SecretRef::Env(name) => (format!("{key}_env"), text(name.clone())),
    }
}

fn daemon(settings: &Settings) -> Shown {
    let access = match settings.kubernetes.access {
        KubernetesAccess::Auto => "auto",
        KubernetesAccess::None => "none",
        KubernetesAccess::Required => "required",
    };
    let mut kubernetes = vec![field("access", text(access))];
    if let Some(path) = &settings.kubernetes.kubeconfig {
        kubernetes.push(field("kubeconfig", literal(&path.display().to_string())));
    }
    if let Some(context) = &settings.kubernetes.context {
        kubernetes.push(field("context", literal(context)));
    }
    let path = literal(&settings.sqlite.display().to_string());
    let mut fields = vec![
        field("listen", text(settings.listen.to_string())),
        field(
            "store",
            Shown::Map(vec![field("sqlite", Shown::Map(vec![field("path", path)]))]),
        ),
    ];
    if let Some(url) = &settings.prometheus {
        fields.push(field(
            "prometheus",
            Shown::Map(vec![field("url", literal(url))]),
        ));
    }
    fields.push(field("kubernetes", Shown::Map(kubernetes)));
    fields.push(field(
        "retention",
        Shown::Map(vec![
            field("samples", duration(settings.retain_samples)),
            field("alerts", duration(settings.retain_alerts)),
        ]),
    ));
    Shown::Map(fields)
}

fn tenant(tenant: &Tenant) -> Shown {
    let mut fields = vec![field(
        "namespaces",
        Shown::List(
            tenant
                .namespaces
                .iter()
                .map(|name| text(name.clone()))
                .collect(),
        ),
    )];
    if !tenant.labels.is_empty() {
        fields.push(field("labels", literals(&tenant.labels)));
    }
    let probes = tenant
        .probes
        .iter()
        .map(|(name, one)| (name.to_string(), probe(one)));
    fields.push(field("probes", Shown::Map(probes.collect())));
    fields.push(field("objectives", Shown::Map(objectives(tenant))));
    let workloads = tenant
        .workloads
        .iter()
        .map(|(name, one)| (name.to_string(), workload(one)));
    fields.push(field("workloads", Shown::Map(workloads.collect())));
    let fields = Shown::Map(fields);
    match &tenant.plan {
        Some(plan) => Shown::Remarked(format!("plan: {plan}"), Box::new(fields)),
        None => fields,
    }
}

fn probe(probe: &Probe) -> Shown {
    let target = match &probe.target {
        Target::Http(target) => http(target),
        Target::Tcp(target) => Shown::Map(vec![
            field("host", literal(&target.host)),
            field("port", number(target.port)),
        ]),
        Target::Prometheus(target) => prometheus(target),
        Target::Heartbeat(target) => Shown::Map(vec![field("max_age", duration(target.max_age))]),
    };
    let mut fields = vec![
        field(probe.target.kind(), target),
        field("every", duration(probe.every)),
        field("timeout", duration(probe.timeout)),
        field("retries", number(probe.retries)),
    ];
    if !probe.labels.is_empty() {
        fields.push(field("labels", literals(&probe.labels)));
    }
    Shown::Map(fields)
}

fn http(target: &HttpTarget) -> Shown {
    let mut fields = vec![
        field("url", literal(&target.url)),
        field("method", text(&*target.method)),
    ];
    if !target.headers.is_empty() {
        let headers = target.headers.iter().map(|(name, value)| match value {
            HeaderValue::Plain(value) => (name.clone(), literal(value)),
            HeaderValue::Secret(reference) => secret(name, reference),
        });
        fields.push(field("headers", Shown::Map(headers.collect())));
    }
    if let Some(body) = &target.body {
        fields.push(field("body", literal(body)));
    }
    let expect = &target.expect;
    let ranges = match expect.status.as_slice() {
        [] => &[(200, 299)],
        ranges => ranges,
    };
    let ranges = ranges.iter().map(|(from, to)| text(format!("{from}-{to}")));
    let mut expected = vec![field("status", Shown::List(ranges.collect()))];
    for (key, value) in [
        ("body_contains", &expect.body_contains),
        ("body_matches", &expect.body_matches),
    ] {
        if let Some(value) = value {
            expected.push(field(key, literal(value)));
        }
    }
    if !expect.json.is_empty() {
        let json = expect
            .json
            .iter()
            .map(|(path, scalar)| (path.0.join("."), json_scalar(&scalar.0)));
        expected.push(field("json", Shown::Map(json.collect())));
    }
    if !expect.headers.is_empty() {
        expected.push(field("headers", literals(&expect.headers)));
    }
    fields.push(field("expect", Shown::Map(expected)));
    if let Some(path) = &target.value {
        let json = literal(&path.0.join("."));
        fields.push(field("value", Shown::Map(vec![field("json", json)])));
    }
    fields.push(field("follow_redirects", number(target.redirects_max)));
    Shown::Map(fields)
}

/// JSON's scalars are YAML's; only text may hold a dollar.
fn json_scalar(json: &str) -> Shown {
    match serde_json::from_str::<String>(json) {
        Ok(content) => literal(&content),
        Err(_) => Shown::Plain(json.to_owned()),
    }
}

fn prometheus(target: &PrometheusTarget) -> Shown {
    let mut fields = vec![field("url", literal(&target.url))];
    match &target.form {
        PrometheusForm::Query { query, empty } => {
            let empty = match empty {
                EmptyResult::Void => "void",
                EmptyResult::Good => "good",
                EmptyResult::Bad => "bad",
            };
            fields.push(field("query", literal(query)));
            fields.push(field("empty", text(empty)));
        }
        PrometheusForm::Counters {
            total,
            part,
            pod_label,
        } => {
            fields.push(field("total", literal(total)));
            fields.push(match part {
                CounterPart::Bad(bad) => field("bad", literal(bad)),
                CounterPart::Good(good) => field("good", literal(good)),
            });
            fields.push(field("pod_label", literal(pod_label)));
        }
    }
    Shown::Map(fields)
}

/// Objectives by name; one entry stands for the same objective on several probes, unless their probes'
/// intervals gave them different defaults. Then it is shown as the first has it, and the others by name.
fn objectives(tenant: &Tenant) -> Vec<(String, Shown)> {
    let mut named: BTreeMap<String, Vec<&Objective>> = BTreeMap::new();
    for objective in &tenant.objectives {
        named
            .entry(objective.key.objective.to_string())
            .or_default()
            .push(objective);
    }
    named
        .into_iter()
        .filter_map(|(name, group)| Some((name, objective(tenant, &group)?)))
        .collect()
}

fn objective(tenant: &Tenant, group: &[&Objective]) -> Option<Shown> {
    let one = *group.first()?;
    let probes = group
        .iter()
        .map(|one| text(one.key.probe.as_str()))
        .collect();
    let mut fields = vec![
        field("probes", Shown::List(probes)),
        field("measure", text(one.measure.name())),
        field("over", duration(one.over)),
    ];
    for (severity, condition) in &one.levels {
        fields.push(field(severity.as_str(), conditional(condition)));
    }
    if let Some(recover) = &one.recover {
        fields.push(field("recover", conditional(recover)));
    }
    fields.push(field("for", duration(one.wait)));
    fields.push(field("keep_firing_for", duration(one.keep_firing)));
    fields.push(field(
        "no_data",
        text(match one.no_data {
            NoData::Keep => "keep",
            NoData::Raise(severity) => severity.as_str(),
        }),
    ));
    if group
        .iter()
        .all(|other| other.samples_min == one.samples_min)
    {
        fields.push(field("min_samples", number(one.samples_min)));
    }
    if group
        .iter()
        .all(|other| other.no_data_after == one.no_data_after)
    {
        fields.push(field("no_data_after", duration(one.no_data_after)));
    }
    fields.push(field("rollback", Shown::Plain(one.rollback.to_string())));
    for (key, value) in [("runbook", &one.runbook), ("summary", &one.summary)] {
        if let Some(value) = value {
            fields.push(field(key, literal(value)));
        }
    }
    let mut inherited = tenant.labels.clone();
    if let Some(probe) = tenant.probes.get(&one.key.probe) {
        inherited.extend(probe.labels.clone());
    }
    let own: BTreeMap<String, String> = one
        .labels
        .iter()
        .filter(|(name, value)| inherited.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !own.is_empty() {
        fields.push(field("labels", literals(&own)));
    }
    Some(Shown::Map(fields))
}

/// Exactly, and in the unit it was written in: messages may round, this may not.
fn conditional(condition: &Condition) -> Shown {
    let shown = condition.to_string();
    let words = shown.rsplit_once(' ').map_or("", |(words, _)| words);
    let limit = condition.limit.get();
    match condition.unit {
        Unit::Number => text(format!("{words} {limit}")),
        Unit::Bytes => text(format!("{words} {}", quantity::size(limit))),
        Unit::Ratio | Unit::Seconds => text(shown),
    }
}

fn workload(workload: &Workload) -> Shown {
    let target = format!("{}/{}", workload.target.namespace(), workload.target.name());
    let triggers = workload.triggers.iter().map(|name| text(name.as_str()));
    Shown::Map(vec![
        field(workload.target.kind().as_str(), text(target)),
        field("mode", mode(workload.mode)),
        field("triggers", Shown::List(triggers.collect())),
        field("bake", duration(workload.bake)),
        field("attribution", duration(workload.attribution)),
        field("cooldown", duration(workload.cooldown)),
        field(
            "budget",
            Shown::Map(vec![field("per_day", number(workload.per_day))]),
        ),
    ])
}

fn receiver(receiver: &Receiver) -> Shown {
    let mut fields = Vec::new();
    match &receiver.channel {
        Channel::Webhook {
            url,
            secret: signing,
        } => {
            fields.push(match url {
                Address::Plain(url) => field("url", literal(url)),
                Address::Secret(reference) => secret("url", reference),
            });
            fields.extend(signing.iter().map(|reference| secret("secret", reference)));
        }
        Channel::Slack {
            webhook_url,
            channel,
        } => {
            fields.push(secret("webhook_url", webhook_url));
            fields.extend(
                channel
                    .iter()
                    .map(|channel| field("channel", literal(channel))),
            );
        }
    }
    Shown::Map(vec![field(receiver.channel.kind(), Shown::Map(fields))])
}

fn route(node: &Route) -> Shown {
    let mut fields = Vec::new();
    if !node.matchers.is_empty() {
        fields.push(field(
            "match",
            Shown::Map(node.matchers.iter().map(matcher).collect()),
        ));
    }
    let receivers = node.receivers.iter().map(|name| text(name.as_str()));
    fields.push(field("receivers", Shown::List(receivers.collect())));
    if !node.routes.is_empty() {
        fields.push(field(
            "routes",
            Shown::List(node.routes.iter().map(route).collect()),
        ));
    }
    Shown::Map(fields)
}

fn matcher(matcher: &Matcher) -> (String, Shown) {
    let patterns = matcher.any_of.iter().map(|pattern| match pattern {
        Pattern::Exact(content) => literal(content),
        Pattern::Regex(regex) => literal(&format!("/{regex}/")),
    });
    (matcher.label.clone(), Shown::List(patterns.collect()))
}
