//! Broken configurations, each with its exact report.

use super::*;

/// One story: a broken file and all that is said about it.
macro_rules! told {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            told(stringify!($name), &report($text));
        }
    )*};
}

/// Compares with the committed report.
fn told(name: &str, report: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, report));
}

told! {
    an_unknown_field_is_answered_with_what_was_probably_meant: "\
tenants:
  acme:
    probes:
      api: { http: { url: http://api/ } }
    objectives:
      error-rate:
        probe: api
        measure: error_ratio
        treshold: above 5%
";

    every_fault_of_a_file_is_reported_in_one_go: "\
tenants:
  acme:
    labels: { 1st: x, tenant: y, build: 12 }
    probes:
      api:
        http: { url: 'api.svc/health', method: get, follow_redirects: often }
        evrey: 15s
        timeout: 10
      db:
        tcp: { host: 'postgres://db', port: 70000 }
        every: 0s
      bad_name:
        heartbeat: {}
    objectives:
      up: { probe: api, measure: availabilty, critical: below 50% }
      slow: { probe: [api], measure: p95, critical: 5 }
    workloads:
      api: { deployment: API, budget: { per_day: -1 }, mode: always }
receivers:
  ops: { slack: { channel: '#ops', webhook_url: https://hooks.slack.com/services/x } }
  hook: { webhook: { url: 'ftp://x', secret: hunter2 } }
route:
  receivers: [opps]
  routes:
    - match: { severity: [criticl], team: '/(/' }
deamon: {}
rollback: { budget: { per_hour: lots } }
";

    what_is_not_built_yet_is_refused_and_never_ignored: "\
plans:
  basic:
    probes:
      cert: { tls: { host: x } }
      web:
        http: { url: http://x/, via: proxy, tls: { insecure: true } }
        depends_on: [cert]
      latency: { prometheus: { url: http://p:9090, histogram: x_bucket } }
    objectives:
      slo: { probe: web, target: 99.9%, period: 30d }
      change: { probe: web, regression: [errors], false_alarm: 0.1%, rollback: true }
      mean: { probe: web, measure: mean, critical: above 1s }
      baseline: { probe: web, measure: p95, critical: above 2x baseline }
tenants:
  acme:
    plan: basic
    workloads:
      api: { deployment: api, mode: propose, remedies: [undo], gitops: tell }
      db: { statefulset: db }
receivers:
  oncall: { pagerduty: { routing_key_file: /s/pd } }
  ops: { slack: { channel: '#ops' }, fallback: oncall }
  tenant: { webhook: { url: '${contacts.webhook}' } }
route:
  receivers: [ops]
  group_by: [tenant]
  routes:
    - { match: { severity: info }, receivers: [ops], digest: '0 8 * * *', continue: true }
mute_times: { weekends: { weekdays: [saturday] } }
inhibit: []
daemon: { slack: { token_file: /s }, store: { postgres: { url_file: /s } }, discovery: {}, retention: { hourly: 400d } }
rollback: { freeze: [], approval: { expires: 1h } }
";

    a_key_that_stands_twice_shows_both_places: "\
tenants:
  acme:
    probes:
      api: { tcp: { host: a, port: 1 } }
      api: { tcp: { host: b, port: 2 } }
";

    merge_keys_tags_and_odd_keys_are_refused: "\
tenants:
  acme: &a
    labels: { x: y }
  globex:
    <<: *a
  ? [a, b]
  : {}
";

    a_tag_is_refused: "\
tenants: !include tenants.yaml
";

    broken_syntax_is_one_fault_at_its_place: "\
tenants:
  acme:
    probes: { api: { tcp: { host: a, port: 1 }
  globex: {}
";

    references_that_lead_nowhere_are_faults: "\
plans:
  basic: { extends: basis }
tenants:
  acme:
    plan: entreprise
  globex:
    probes:
      api: { tcp: { host: a, port: 1 } }
    objectives:
      up: { probe: apl, measure: availability, critical: below 50% }
    workloads:
      api: { deployment: api, triggers: [upp] }
receivers:
  ops: { webhook: { url: http://x/ } }
route: { receivers: [obs] }
";

    plans_that_extend_one_another_in_a_circle_are_refused: "\
plans:
  a: { extends: b }
  b: { extends: c }
  c: { extends: a }
tenants:
  acme: { plan: a }
";

    conditions_that_can_never_come_true_or_always_are_true: "\
tenants:
  acme:
    probes:
      api: { tcp: { host: a, port: 1 }, timeout: 5s }
    objectives:
      a: { probe: api, measure: availability, critical: below 0% }
      b: { probe: api, measure: error_ratio, critical: above 100% }
      c: { probe: api, measure: error_ratio, critical: at least 0 }
      d: { probe: api, measure: p50, critical: above 5s }
      e: { probe: api, measure: consecutive_failures, critical: below 3 }
      f: { probe: api, measure: error_ratio, warning: above 10%, critical: above 5%, min_samples: 10 }
      g: { probe: api, measure: error_ratio, critical: above 30%, recover: below 40% }
";

    conditions_in_the_wrong_unit_say_which_is_right: "\
tenants:
  acme:
    probes:
      api: { tcp: { host: a, port: 1 } }
    objectives:
      a: { probe: api, measure: availability, critical: below 90 }
      b: { probe: api, measure: error_ratio, critical: above 5s }
      c: { probe: api, measure: p50, critical: above 800 }
      d: { probe: api, measure: consecutive_failures, critical: at least 2.5 }
      e: { probe: api, measure: p50, critical: more than 2s }
      f: { probe: api, measure: p50, critical: above lots }
";

    a_measure_needs_a_probe_that_can_give_it: "\
daemon: { prometheus: { url: http://p:9090 } }
tenants:
  acme:
    probes:
      api: { http: { url: http://x/ } }
      beat: { heartbeat: { max_age: 5m } }
      hits: { prometheus: { total: a, bad: b } }
    objectives:
      a: { probe: api, measure: value, critical: above 3 }
      b: { probe: beat, measure: p50, critical: above 1s }
      c: { probe: hits, measure: consecutive_failures, critical: at least 3 }
";

    windows_that_hold_too_little_or_too_much: "\
tenants:
  acme:
    probes:
      fast: { tcp: { host: a, port: 1 }, every: 100ms }
      slow: { tcp: { host: a, port: 1 }, every: 10m }
    objectives:
      a: { probe: slow, measure: availability, over: 5m, critical: below 50% }
      b: { probe: fast, measure: p99, over: 1h, critical: above 50ms }
      c: { probe: slow, measure: error_ratio, over: 1h, min_samples: 10, critical: above 20% }
";

    a_timeout_beyond_the_interval_is_a_fault: "\
defaults: { probe: { every: 10s, timeout: 20s } }
tenants:
  acme:
    probes:
      api: { tcp: { host: a, port: 1 }, every: 5s, timeout: 6s }
";

    secrets_in_a_file_are_refused: "\
tenants:
  acme:
    contacts: { webhook: https://hooks.example.com/secret }
    probes:
      api:
        http: { url: 'https://user:password@api/', headers: { Authorization: Bearer abc, x-y_file: relative } }
receivers:
  hook: { webhook: { url_file: /s/a, url_env: HOOK, secret: abc } }
  ops: { slack: { webhook_url: https://hooks.slack.com/x } }
route: { receivers: [hook, ops] }
";

    unknown_placeholders_are_faults_at_their_place: "\
plans:
  basic:
    vars: { limit: 10Gi }
    probes:
      a: { tcp: { host: 'db.${tennant}.svc', port: 1 } }
      b: { prometheus: { url: http://p:9090, query: 'x{a=\"${tenant}\"} / ${vars.limits}' } }
      c: { tcp: { host: 'db.${vars.zone', port: 1 } }
      d: { tcp: { host: '${labels.zone}.svc', port: '${vars.port}' } }
tenants:
  acme: { plan: basic, labels: { zone: a }, vars: { port: 80 } }
  globex: { plan: basic, labels: { zone: b } }
receivers:
  hook: { webhook: { url: 'http://${tenant}/' } }
route: { receivers: [hook] }
";

    names_are_dns_labels_and_one_is_reserved: "\
tenants:
  Acme: {}
  holdfast: {}
  acme-:
    namespaces: [Shop, a/b]
";

    two_workloads_at_the_same_object_show_both_places: "\
tenants:
  acme:
    namespaces: [shop]
    objectives: &o
      up: { probe: api, measure: availability, critical: below 50%, rollback: true }
    probes: &p
      api: { tcp: { host: a, port: 1 } }
    workloads:
      api: { deployment: api }
      elsewhere: { deployment: other/api }
  globex:
    namespaces: [shop]
    probes: *p
    objectives: *o
    workloads:
      web: { deployment: shop/api }
";

    a_trigger_needs_a_critical_condition: "\
tenants:
  acme:
    probes:
      api: { tcp: { host: a, port: 1 } }
    objectives:
      up: { probe: api, measure: availability, warning: below 90% }
      down: { probe: api, measure: availability, warning: below 80%, rollback: true }
    workloads:
      api: { deployment: api, triggers: [up] }
";

    a_secret_on_a_broken_line_is_not_shown: "\
receivers:
  hook: { webhook: { url: http://x/, secret: hunter2, bogus: 1 } }
route: { receivers: [hook] }
daemon: { token: abc
";

    what_is_not_there_cannot_be_taken_away: "\
plans:
  basic:
    probes:
      api: { tcp: { host: a, port: 1 } }
tenants:
  acme:
    plan: basic
    probes: { apl: null }
    objectives: { up: { enabled: false } }
";

    queries_are_looked_at_before_prometheus_sees_them: "\
tenants:
  acme:
    probes:
      a: { prometheus: { url: http://p:9090, query: 'sum(rate(x[5m])' } }
      b: { prometheus: { url: http://p:9090, total: 'rate(x[5m])', bad: 'x{code=\"500\"}' } }
      c: { prometheus: { url: http://p:9090, total: x } }
      d: { prometheus: { url: http://p:9090, query: x, total: y, bad: z } }
      e: { prometheus: { query: x, empty: nothing } }
";

    expectations_of_an_answer_are_checked: "\
tenants:
  acme:
    probes:
      api:
        http:
          url: http://x/
          expect: { status: [20x, 700, 2xx], body_matches: '(', json: { '$.a': 1, b: [1] }, header: {} }
          value: { json: a..b }
";

    a_probe_has_exactly_one_kind: "\
tenants:
  acme:
    probes:
      none: { every: 5s }
      both: { tcp: { host: a, port: 1 }, http: { url: http://x/ } }
";

    lints_are_not_faults: "\
rollback: { mode: observe }
plans:
  basic:
    objectives:
      orphan: { probe: nowhere, measure: availability, critical: below 50% }
tenants:
  acme:
    plan: basic
    probes:
      api: { tcp: { host: a, port: 1 }, every: 1m }
    objectives:
      a: { probe: api, measure: error_ratio, critical: above 10%, for: 30s }
      b: { probe: api, measure: p99, critical: above 1s }
      c: { probe: api, measure: consecutive_failures, critical: at least 1 }
    workloads:
      api: { deployment: api, mode: act, triggers: [a] }
      web: { deployment: web }
receivers:
  ops: { webhook: { url: http://x/ } }
route:
  routes:
    - { receivers: [ops] }
    - { match: { tenant: acne }, receivers: [ops] }
";

    a_plan_without_tenants_is_checked_too: "\
plans:
  unused:
    probes:
      api: { tcp: { host: '${namespace}', port: '${vars.port}' }, timeout: 1h }
";

    a_file_that_is_a_list_is_not_a_configuration: "\
- tenants
";

    numbers_where_text_belongs_ask_for_quotes: "\
tenants:
  acme:
    plan: 5
    labels: { version: 1.0 }
    namespaces: 7
    probes:
      api: { tcp: { host: a, port: '1' }, retries: many, enabled: no }
";
}

#[test]
fn a_name_that_is_defined_in_two_files_shows_both() {
    let files = [
        (
            "a.yaml",
            "tenants:\n  acme: {}\ndaemon: { listen: 127.0.0.1:1 }\nroute: {}\n",
        ),
        (
            "b/b.yml",
            "tenants:\n  acme: {}\ndaemon: { listen: 127.0.0.1:2 }\nroute: {}\n",
        ),
    ];
    told(
        "a_name_that_is_defined_in_two_files_shows_both",
        &directory(&files),
    );
}

#[test]
fn a_file_that_cannot_be_read_does_not_make_other_files_wrong() {
    // The plan may well stand in the broken file: that it is not found is no finding.
    let files = [
        (
            "a.yaml",
            "tenants:\n  acme: { plan: basic }\n  globex: { plam: basic }\n",
        ),
        ("b.yaml", "plans:\n  basic: [\n"),
    ];
    told(
        "a_file_that_cannot_be_read_does_not_make_other_files_wrong",
        &directory(&files),
    );
}

#[test]
fn a_directory_without_files_is_not_an_empty_configuration() {
    let told = directory(&[(".hidden.yaml", "tenants: {}"), ("README.md", "hello")]);
    assert!(
        told.contains("there is no *.yaml or *.yml file in it"),
        "{told}"
    );
    let told = load(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(told.contains("error[unreadable]: cannot be read"), "{told}");
    assert!(told.contains("--> /nowhere/at/all\n"), "{told}");
}

#[test]
fn a_few_lines_of_aliases_cannot_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let told = report(&text);
    assert!(told.contains("error[too-large]"), "{told}");
}

#[test]
fn aliases_cannot_nest_deeper_than_what_is_written() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..900 {
        text.push_str(&format!("a{level}: &a{level} [[[[[*a{}]]]]]\n", level - 1));
    }
    let told = report(&text);
    assert!(
        told.contains("error[too-large]: aliases nest deeper than 32"),
        "{told}"
    );
}

#[test]
fn deep_nesting_is_a_fault_and_not_a_crash() {
    let told = report(&"[".repeat(100_000));
    assert!(told.contains("error[yaml]"), "{told}");
}

#[test]
fn a_file_larger_than_the_limit_is_refused() {
    let told = directory(&[("a.yaml", &format!("# {}\n", "x".repeat(5 * 1024 * 1024)))]);
    assert!(
        told.contains("error[unreadable]: is larger than 4 MiB"),
        "{told}"
    );
}

#[test]
fn a_file_cannot_steer_the_terminal_that_shows_it() {
    let told = report("\"x\\u001b[31m\": 1\n");
    assert!(!told.contains('\u{1b}'), "{told:?}");
}

#[test]
fn programs_get_the_same_report_as_an_object() {
    let Err(report) = load_text("t.yaml", "tenants:\n  acme: {}\ntenant: {}\n") else {
        panic!("an unknown section is a fault");
    };
    let json = report::json("0", &report.faults, &report.lints);
    told(
        "programs_get_the_same_report_as_an_object",
        &format!("{json:#}"),
    );
    let annotations = report::github(Path::new(""), &report.faults, &report.lints);
    told("github_gets_annotations", &annotations);
}

/// The shipped example as one text, so that small damage reaches every reader.
fn example() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    ["plans", "tenants", "alerting", "holdfast"]
        .map(|name| std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap())
        .join("\n---\n")
}

proptest::proptest! {
    /// Whatever a slip of the keyboard does to a good file: an answer, never a panic; and faults have places.
    #[test]
    fn any_damage_gives_a_configuration_or_a_report(
        slips in proptest::collection::vec((0_usize..6_000, 0_usize..40, "[ -~\\n]{0,6}"), 1..4)
    ) {
        let mut text: Vec<char> = example().chars().collect();
        for (at, length, insert) in slips {
            let from = at.min(text.len());
            let to = (from + length).min(text.len());
            text.splice(from..to, insert.chars());
        }
        let text: String = text.into_iter().collect();
        match load_text("t.yaml", &text) {
            Ok(config) => {
                let shown = show::yaml(&config.spec, &config.settings);
                proptest::prop_assert!(load_text("shown.yaml", &shown).is_ok(), "{}", shown);
            }
            Err(report) => {
                proptest::prop_assert!(!report.faults.is_empty());
                for fault in &report.faults {
                    proptest::prop_assert!(fault.spot.line >= 1, "{:?}", fault);
                    proptest::prop_assert!(fault.spot.line <= text.split('\n').count() + 1);
                }
                proptest::prop_assert!(report.to_string().ends_with("lints\n") || report.to_string().ends_with("lint\n"));
            }
        }
    }
}
