//! What valid files mean.

use std::time::Duration;

use super::*;
use crate::domain::objective::{Measure, NoData, Objective, Severity};
use crate::domain::spec::{Address, Channel, Mode, Pattern, Workload};
use crate::domain::target::{
    EmptyResult, HeaderValue, HttpTarget, Probe, PrometheusForm, SecretRef, Target,
};

fn probe(config: &Config, id: &str) -> Arc<Probe> {
    config.spec.probe(&id.parse().unwrap()).unwrap().clone()
}

fn objective(config: &Config, key: &str) -> Arc<Objective> {
    let found = config
        .spec
        .objectives()
        .find(|one| one.key.to_string() == key);
    found
        .unwrap_or_else(|| panic!("no objective {key}"))
        .clone()
}

fn workload(config: &Config, id: &str) -> Arc<Workload> {
    config.spec.workload(&id.parse().unwrap()).unwrap().clone()
}

fn http(config: &Config, id: &str) -> HttpTarget {
    match &probe(config, id).target {
        Target::Http(http) => (**http).clone(),
        other => panic!("{other:?}"),
    }
}

fn query(config: &Config, id: &str) -> String {
    match &probe(config, id).target {
        Target::Prometheus(target) => match &target.form {
            PrometheusForm::Query { query, .. } => query.clone(),
            PrometheusForm::Counters { total, .. } => total.clone(),
        },
        other => panic!("{other:?}"),
    }
}

const LAYERS: &str = "\
defaults: { probe: { every: 20s }, objective: { over: 10m, labels: { page: soft } } }
daemon: { prometheus: { url: 'http://p:9090' } }
plans:
  basic:
    vars: { limit: 10Gi, window: 5m, port: 5432 }
    labels: { tier: basic, old: x }
    probes:
      api:
        http: { url: 'http://api.${namespace}.svc/health', headers: { accept: text/html }, expect: { status: [200, 204] } }
        every: 1m
        timeout: 5s
        labels: { layer: edge }
      db: { tcp: { host: 'db.${namespace}', port: '${vars.port}' } }
      used: { prometheus: { query: 'avg_over_time(x{t=\"${tenant}\"}[${vars.window}]) / ${vars.limit} > ${vars.window}' } }
      gone: { tcp: { host: x, port: 1 } }
    objectives:
      up: { probe: api, measure: availability, over: 30m, warning: below 90%, critical: below 60% }
      both: { probes: [api, db], measure: consecutive_failures, critical: at least 3, rollback: true }
      full: { probe: used, measure: value, critical: 'above ${vars.limit}' }
      last: { probe: gone, measure: consecutive_failures, critical: at least 3 }
  gold:
    extends: basic
    vars: { limit: 20Gi }
    probes:
      api: { every: 15s }
tenants:
  acme:
    plan: gold
    namespaces: [shop, back]
    labels: { tier: gold, old: null }
    vars: { window: 90s }
    probes:
      api: { http: { expect: { status: [200] } } }
      db: { http: { url: 'http://db/' } }
      gone: null
    objectives:
      up: { warning: below 95%, labels: { page: loud } }
      last: { enabled: false }
    workloads:
      api: { deployment: api }
      back: { deployment: back/worker, triggers: [up], mode: act, bake: 5m, budget: { per_day: 0 } }
rollback: { mode: act }
";

#[test]
fn a_tenant_overrides_its_plan_field_by_field() {
    let config = valid(LAYERS);
    let api = probe(&config, "acme/api");
    assert_eq!(api.every, Duration::from_secs(15), "from gold");
    assert_eq!(api.timeout, Duration::from_secs(5), "from basic");
    let target = http(&config, "acme/api");
    assert_eq!(target.url, "http://api.shop.svc/health");
    assert_eq!(target.expect.status, [(200, 200)], "a list replaces");
    assert!(target.headers.contains_key("accept"), "a map merges");
    let up = objective(&config, "acme/up/api");
    assert_eq!(
        up.condition(Severity::Warning).unwrap().to_string(),
        "below 95%"
    );
    assert_eq!(
        up.condition(Severity::Critical).unwrap().to_string(),
        "below 60%"
    );
    assert_eq!(up.over, Duration::from_secs(1800));
}

#[test]
fn another_kind_of_probe_replaces_the_plans_kind() {
    let config = valid(LAYERS);
    assert_eq!(http(&config, "acme/db").url, "http://db/");
    assert_eq!(
        probe(&config, "acme/db").every,
        Duration::from_secs(20),
        "from defaults"
    );
    assert_eq!(probe(&config, "acme/db").timeout, Duration::from_secs(10));
}

#[test]
fn null_and_enabled_false_take_away() {
    let config = valid(LAYERS);
    let acme = config.spec.tenants.values().next().unwrap();
    assert!(!acme.probes.keys().any(|name| name.as_str() == "gone"));
    assert!(
        !acme
            .objectives
            .iter()
            .any(|one| one.key.objective.as_str() == "last")
    );
    assert_eq!(acme.labels.get("old"), None);
}

#[test]
fn labels_of_tenant_probe_and_objective_come_together() {
    let config = valid(LAYERS);
    let labels = objective(&config, "acme/up/api").labels.clone();
    let text: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(text, ["layer=edge", "page=loud", "tier=gold"]);
    assert_eq!(
        objective(&config, "acme/both/db")
            .labels
            .get("page")
            .unwrap(),
        "soft"
    );
}

#[test]
fn placeholders_take_the_form_that_their_place_needs() {
    let config = valid(LAYERS);
    assert_eq!(
        query(&config, "acme/used"),
        "avg_over_time(x{t=\"acme\"}[90s]) / 21474836480 > 90",
        "a duration within brackets, a size and a duration outside"
    );
    let full = objective(&config, "acme/full/used");
    let critical = full.condition(Severity::Critical).unwrap();
    assert_eq!(critical.limit.get(), 21_474_836_480.0);
}

#[test]
fn a_string_that_is_one_placeholder_takes_the_type_of_the_value() {
    let config = valid(
        "plans:\n  p:\n    vars: { port: 5432, every: 15s }\n    probes:\n      db: { tcp: { host: x, port: '${vars.port}' }, every: '${vars.every}' }\ntenants:\n  acme: { plan: p }\n",
    );
    let db = probe(&config, "acme/db");
    assert!(matches!(&db.target, Target::Tcp(tcp) if tcp.port == 5432));
    assert_eq!(db.every, Duration::from_secs(15));
}

#[test]
fn a_value_cannot_break_out_of_the_quotes_of_a_query() {
    let config = valid(
        "tenants:\n  acme:\n    vars: { who: 'a\"} or up{b=\"' }\n    probes:\n      q: { prometheus: { url: 'http://p', query: 'x{a=\"${vars.who}\"}' } }\n",
    );
    assert_eq!(query(&config, "acme/q"), r#"x{a="a\"} or up{b=\""}"#);
}

#[test]
fn two_dollars_are_one_and_a_lone_one_stays() {
    let config = valid(
        "tenants:\n  acme:\n    probes:\n      q: { prometheus: { url: 'http://p', query: 'x{a=~\"b$\",c=\"$${tenant}\"}' } }\n",
    );
    assert_eq!(query(&config, "acme/q"), r#"x{a=~"b$",c="${tenant}"}"#);
}

#[test]
fn an_objective_on_several_probes_is_several_objectives() {
    let config = valid(LAYERS);
    for key in ["acme/both/api", "acme/both/db"] {
        let one = objective(&config, key);
        assert_eq!(one.measure, Measure::ConsecutiveFailures);
        assert_eq!(one.samples_min, 1);
        assert!(one.rollback);
    }
}

#[test]
fn defaults_follow_from_the_window_and_the_interval() {
    let config = valid(
        "tenants:\n  acme:\n    probes:\n      a: { tcp: { host: x, port: 1 } }\n      slow: { tcp: { host: x, port: 1 }, every: 2m }\n      n: { prometheus: { url: 'http://p', total: x, good: y } }\n    objectives:\n      a: { probe: a, measure: availability, warning: below 50% }\n      s: { probe: slow, measure: availability, warning: below 10% }\n      n: { probe: n, measure: error_ratio, over: 1m, warning: above 50%, no_data: critical }\n",
    );
    let (a, s, n) = (
        objective(&config, "acme/a/a"),
        objective(&config, "acme/s/slow"),
        objective(&config, "acme/n/n"),
    );
    assert_eq!((a.over, a.samples_min), (Duration::from_secs(300), 5));
    assert_eq!(s.samples_min, 2, "what the window can hold");
    assert_eq!(s.no_data_after, Duration::from_secs(360), "three intervals");
    assert_eq!(n.no_data_after, Duration::from_secs(90));
    assert_eq!(
        (n.samples_min, n.no_data),
        (5, NoData::Raise(Severity::Critical))
    );
    assert_eq!(probe(&config, "acme/slow").timeout, Duration::from_secs(10));
}

#[test]
fn triggers_are_the_objectives_marked_for_rollback_unless_named() {
    let config = valid(LAYERS);
    let api = workload(&config, "acme/api");
    assert_eq!(
        api.triggers
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["both"]
    );
    assert_eq!(api.mode, Mode::Observe);
    assert_eq!(api.target.to_string(), "deployment/shop/api");
    assert_eq!((api.bake, api.per_day), (Duration::from_secs(1800), 2));
    let back = workload(&config, "acme/back");
    assert_eq!(
        back.triggers
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["up"]
    );
    assert_eq!((back.mode, back.per_day), (Mode::Act, 0));
    assert_eq!(back.target.to_string(), "deployment/back/worker");
}

#[test]
fn a_mode_is_never_more_than_the_ceiling() {
    let config = valid(&LAYERS.replace("rollback: { mode: act }", ""));
    assert_eq!(workload(&config, "acme/back").mode, Mode::Observe);
    assert!(config.lints.iter().any(|lint| lint.code == "mode-capped"));
}

#[test]
fn a_plans_objective_waits_for_a_tenant_that_has_its_probe() {
    let config = valid(
        "plans:\n  p:\n    objectives:\n      up: { probe: api, measure: availability, warning: below 50% }\ntenants:\n  acme: { plan: p, probes: { api: { tcp: { host: x, port: 1 } } } }\n  globex: { plan: p }\n",
    );
    assert_eq!(config.spec.objectives().count(), 1);
    assert_eq!(config.lints, vec![]);
}

#[test]
fn every_part_of_an_http_probe_is_read() {
    let config = valid(
        r#"
tenants:
  acme:
    probes:
      api:
        http:
          url: https://api.example.com/queue
          method: POST
          headers: { content-type: application/json, authorization_file: /s/token, x-key_env: KEY }
          body: '{"a":1}'
          expect:
            status: [200, 3xx, 410-412]
            body_contains: ok
            body_matches: "^a+$"
            json: { status: ok, "items.0.ready": true, count: 3, none: ~ }
            headers: { X-Version: "v\\d+" }
          value: { json: queue.length }
          follow_redirects: true
        retries: 2
    objectives:
      queue: { probe: api, measure: value, warning: above 100 }
"#,
    );
    let target = http(&config, "acme/api");
    assert_eq!(target.expect.status, [(200, 200), (300, 399), (410, 412)]);
    assert_eq!(target.method, "POST");
    assert_eq!(
        target.headers["authorization"],
        HeaderValue::Secret(SecretRef::File("/s/token".into()))
    );
    assert_eq!(
        target.headers["x-key"],
        HeaderValue::Secret(SecretRef::Env("KEY".into()))
    );
    let json: Vec<String> = target
        .expect
        .json
        .iter()
        .map(|(path, scalar)| format!("{}={}", path.0.join("/"), scalar.0))
        .collect();
    assert_eq!(
        json,
        [
            "status=\"ok\"",
            "items/0/ready=true",
            "count=3",
            "none=null"
        ]
    );
    assert_eq!(target.expect.headers["x-version"], r"v\d+");
    assert_eq!(target.redirects_max, 10);
    assert_eq!(probe(&config, "acme/api").retries, 2);
}

#[test]
fn a_source_of_metrics_has_a_name_of_its_own() {
    let config = valid(
        "daemon: { prometheus: { url: 'http://p:9090' } }\ntenants:\n  acme:\n    probes:\n      a: { prometheus: { query: x, empty: good } }\n      b: { prometheus: { url: 'http://other.svc:9090', query: x } }\n      c: { prometheus: { url: 'http://other.svc:9090/tenant/a', query: x } }\n",
    );
    let source = |id: &str| match &probe(&config, id).target {
        Target::Prometheus(target) => target.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(source("acme/a").source.as_str(), "prometheus");
    assert_eq!(source("acme/a").url, "http://p:9090");
    assert!(matches!(
        source("acme/a").form,
        PrometheusForm::Query {
            empty: EmptyResult::Good,
            ..
        }
    ));
    assert_eq!(source("acme/b").source.as_str(), "other-svc-9090");
    assert!(
        source("acme/c")
            .source
            .as_str()
            .starts_with("other-svc-9090-tenant-a-")
    );
}

#[test]
fn routes_inherit_receivers_and_know_lists_and_regexes() {
    let config = valid(
        "tenants:\n  acme: {}\nreceivers:\n  ops: { slack: { webhook_url_env: SLACK } }\n  hook: { webhook: { url_file: /s/url } }\nroute:\n  receivers: [ops]\n  routes:\n    - match: { severity: [critical, warning], team: '/pay.*/' }\n      routes:\n        - { match: { tenant: acme }, receivers: [hook] }\n",
    );
    let child = &config.spec.route.routes[0];
    assert_eq!(child.receivers, config.spec.route.receivers, "inherited");
    assert_eq!(child.matchers[0].any_of.len(), 2);
    assert_eq!(
        child.matchers[1].any_of,
        [Pattern::Regex("pay.*".to_owned())]
    );
    assert_eq!(child.routes[0].receivers[0].as_str(), "hook");
    let hook = config.spec.receivers.values().next().unwrap();
    let Channel::Webhook { url, .. } = &hook.channel else {
        panic!("{hook:?}");
    };
    assert_eq!(*url, Address::Secret(SecretRef::File("/s/url".into())));
}

#[test]
fn yaml_is_version_1_2() {
    let config = valid(
        "tenants:\n  acme:\n    labels: { country: no, old: 'yes', octal: !!str 0o17 }\n---\n# a second document\n---\ntenants:\n  globex:\n",
    );
    let tenants: Vec<_> = config.spec.tenants.values().collect();
    assert_eq!(tenants[0].labels["country"], "no");
    assert_eq!(tenants[0].labels["octal"], "0o17");
    assert_eq!(tenants[1].namespaces, ["globex"]);
}

#[test]
fn files_are_found_through_links_and_hidden_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("..2026_01")).unwrap();
    std::fs::write(root.join("..2026_01/a.yaml"), "tenants: { acme: {} }\n").unwrap();
    std::os::unix::fs::symlink("..2026_01", root.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    std::fs::create_dir(root.join("more")).unwrap();
    std::fs::write(root.join("more/b.yml"), "tenants: { globex: {} }\n").unwrap();
    std::os::unix::fs::symlink(root, root.join("more/circle")).unwrap();
    let config = load(root).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.spec.tenants.len(), 2);
}

#[test]
fn what_is_shown_means_the_same() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for config in [
        valid(LAYERS),
        load(&shipped).unwrap_or_else(|report| panic!("{report}")),
    ] {
        let shown = show::yaml(&config.spec, &config.settings);
        let again =
            load_text("shown.yaml", &shown).unwrap_or_else(|report| panic!("{report}\n{shown}"));
        assert_eq!(again.settings, config.settings);
        let mut spec = Spec::clone(&config.spec);
        for tenant in spec.tenants.values_mut() {
            // A plan is a remark there: all of it is spelled out.
            Arc::make_mut(tenant).plan = None;
        }
        assert_eq!(*again.spec, spec, "{shown}");
    }
}

#[test]
fn a_plan_without_tenants_may_leave_to_them_what_they_bring() {
    let config = valid(
        "plans:\n  p:\n    probes:\n      api: { http: { expect: { status: 204 } }, every: 1m }\n      db: { tcp: { host: '${labels.host}', port: '${vars.port}' } }\n    objectives:\n      up: { probe: api, measure: availability }\n    workloads:\n      api: { deployment: shared/api, triggers: [theirs] }\n",
    );
    assert_eq!(config.lints, vec![]);
}

#[test]
fn thousands_of_tenants_are_read_in_linear_time() {
    let mut text = LAYERS.to_owned();
    let rollback = text.split_off(text.rfind("rollback:").unwrap());
    for number in 0..2_000 {
        text.push_str(&format!(
            "  t{number}: {{ plan: basic, vars: {{ limit: {number}Mi }} }}\n"
        ));
    }
    text.push_str(&rollback);
    let config = valid(&text);
    assert_eq!(config.spec.tenants.len(), 2_001);
    assert_eq!(config.spec.objectives().count(), 2_000 * 5 + 4);
}

#[test]
fn what_excludes_one_another_is_replaced_and_nothing_else_is() {
    let config = valid(
        r"
daemon: { prometheus: { url: 'http://p' } }
plans:
  p:
    probes:
      web:
        http: { url: http://x/, headers: { a: plain, b_file: /s/b, c: d }, expect: { json: { log: x, log_file: y } } }
      hits: { prometheus: { total: t, bad: b, pod_label: instance } }
      goods: { prometheus: { total: t, bad: b } }
    objectives:
      up: { probe: web, measure: availability, warning: below 50% }
tenants:
  acme:
    plan: p
    probes:
      web: { http: { headers: { a_env: A, b_env: B }, expect: { json: { log_file: z } } } }
      hits: { prometheus: { query: q } }
      goods: { prometheus: { good: g } }
    objectives:
      up: { probes: [web, hits] }
",
    );
    let web = http(&config, "acme/web");
    assert_eq!(
        web.headers["a"],
        HeaderValue::Secret(SecretRef::Env("A".into()))
    );
    assert_eq!(
        web.headers["b"],
        HeaderValue::Secret(SecretRef::Env("B".into()))
    );
    assert_eq!(web.headers["c"], HeaderValue::Plain("d".into()));
    assert_eq!(web.expect.json.len(), 2, "paths are data, not secrets");
    assert_eq!(query(&config, "acme/hits"), "q");
    assert_eq!(query(&config, "acme/goods"), "t");
    assert_eq!(config.spec.objectives().count(), 2);
}
