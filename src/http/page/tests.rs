//! What the pages say, and that nobody can make them say something else.

use std::sync::Arc;

use crate::domain::alert::episode;
use crate::domain::change::Change;
use crate::domain::rollback::Stage;
use crate::http::fake::{self, at, broken};
use crate::http::tests::Asker;

#[tokio::test]
async fn the_page_tells_how_everything_stands() {
    let page = Asker::afternoon().await.get("/").await;
    assert_eq!(page.kind, "text/html; charset=utf-8");
    for words in [
        "One promise is broken.",
        "4 promises are watched for 2 tenants; 1 tenant is affected; 1 cannot be judged now.",
        "response-time of globex is out of bounds",
        "too-few-samples",
        "r8 quarantined",
        "r7 proven, current",
        "mode is observe: revision 3 would have been put back",
        "429 Too Many Requests, again in 60s",
        "<b>term 7</b>",
        r#"http-equiv="refresh""#,
    ] {
        assert!(page.text.contains(words), "{words}");
    }
    assert!(!page.text.contains("<script"), "no JavaScript");
    let still = Asker::afternoon().await.get("/?refresh=off").await;
    assert!(!still.text.contains("http-equiv"));
}

#[tokio::test]
async fn empty_lists_say_that_they_are_empty() {
    let page = Asker::of(fake::empty()).get("/").await.text;
    for words in [
        "Nothing is promised yet.",
        "No tenant is configured, so nothing is watched.",
        "No workload is configured, so nothing can be rolled back.",
        "Nothing had to be decided so far.",
        "Nothing has been rolled back.",
        "No rollout has been seen.",
        "Nobody has been told anything.",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[tokio::test]
async fn faults_of_the_configuration_and_a_missing_lead_are_on_the_page() {
    let mut desk = fake::empty();
    desk.config.successful = false;
    desk.config.faults = vec!["error[unknown-key]: unknown field `<treshold>`".to_owned()];
    desk.health.leads = None;
    desk.health.cluster = false;
    let page = Asker::of(desk).get("/").await.text;
    assert!(page.contains("The configuration on disk is not in force"));
    assert!(
        page.contains("unknown field `&#60;treshold&#62;`"),
        "{page}"
    );
    assert!(page.contains("This Holdfast follows"));
    assert!(page.contains("There is no cluster"));
}

#[tokio::test]
async fn the_page_of_a_decision_tells_the_whole_story() {
    let id = fake::rolled_back().id;
    let page = Asker::afternoon()
        .await
        .get(&format!("/decisions/{id}"))
        .await
        .text;
    for words in [
        "acme/api was rolled back to revision 7, and it helped",
        "Service is restored.",
        "Rollout of revision 8 began",
        "by kubectl-client-side-apply",
        "The promise broke",
        "Decided to roll back to revision 7",
        "0.2% of 11800 events since then were bad",
        "registry.example/acme/api:1.8.0",
        "ship the new basket",
        "19.8% <small>error_ratio over 2m, and must not be above 10%</small>",
        "rollout began 14:05:00",
        "limit 10%",
        "revision 7 was proven later",
        "8000 events since the rollout began",
        "<td>200 OK<span class=\"sub\">after 2 tries</span></td>",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(
        !page.contains("http-equiv"),
        "what has ended does not refresh"
    );
}

#[tokio::test]
async fn a_held_decision_says_why_and_what_to_do() {
    let id = fake::held().id;
    let page = Asker::afternoon()
        .await
        .get(&format!("/decisions/{id}"))
        .await
        .text;
    for words in [
        "globex/web was left as it is: mode-observe",
        "Holdfast only observes here",
        "holdfast rollback globex/web",
        "No rollout is blamed.",
        "mode (mode-observe)",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[tokio::test]
async fn the_page_of_an_alert_tells_its_story() {
    let id = episode(&broken(), at(640));
    let page = Asker::afternoon()
        .await
        .get(&format!("/alerts/{id}"))
        .await
        .text;
    assert!(page.contains("response-time of globex is out of bounds"));
    assert!(page.contains(r#"<a href="https://runbooks.example/errors""#));
    assert!(page.contains("19.8% of 8000 events"));
}

#[tokio::test]
async fn hostile_words_stay_words_on_every_page() {
    const HOSTILE: &str = r#"<script>alert(1)</script>"><img src=x onerror=alert(1)>'"#;
    let mut desk = fake::afternoon().await;
    let mut decision = fake::rolled_back();
    decision.reason = HOSTILE.to_owned();
    decision.candidates[0].images = vec![HOSTILE.into()];
    decision.candidates[0].rejected = Some(HOSTILE.to_owned());
    decision.guards[0].detail = HOSTILE.to_owned();
    decision.guards[0].guard = HOSTILE.into();
    decision.evidence[0].condition = format!("above {HOSTILE}");
    decision.evidence[0].shown = Some(HOSTILE.to_owned());
    decision.evidence[0].why = Some(HOSTILE.into());
    let mut rollback = fake::rollback(Stage::Failed {
        why: HOSTILE.into(),
    });
    rollback.steps[0].what = HOSTILE.to_owned();
    let thread = decision.id.0;
    let mut message = fake::delivery(thread, 800, "ops", HOSTILE);
    message
        .message
        .annotations
        .insert("summary".to_owned(), HOSTILE.to_owned());
    let id = decision.id;
    let changes = vec![
        Change::Decision(decision),
        Change::Rollback(rollback),
        Change::Deliver(message),
    ];
    fake::commit(&desk.store, changes).await;
    desk.probes[0].why = Some(HOSTILE.into());
    desk.workloads[0].ledger[0].images = vec![HOSTILE.into()];
    desk.config.lints = vec![HOSTILE.to_owned()];
    let mut spec = (*desk.spec).clone();
    let mut tenant = (**spec.tenants.values().next().unwrap()).clone();
    tenant.plan = Some(HOSTILE.to_owned());
    tenant.namespaces = vec![HOSTILE.to_owned()];
    spec.tenants.insert(tenant.id.clone(), Arc::new(tenant));
    desk.spec = Arc::new(spec);
    for fact in &mut desk.facts {
        if let crate::domain::fact::What::Began(rollout) = &mut fact.what {
            rollout.changed_by = Some(HOSTILE.into());
            rollout.change_cause = Some(HOSTILE.into());
        }
    }
    let asker = Asker::of(desk);
    for path in ["/".to_owned(), format!("/decisions/{id}")] {
        let page = asker.get(&path).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains("alert(1)"), "{path} shows it");
        assert!(!page.text.contains("<script"), "{path}");
        assert!(!page.text.contains("<img"), "{path}");
        assert!(!page.text.contains(r#"""><"#), "{path}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"));
    }
}

/// Writes the pages to `target/pages`, to be looked at in a browser, and the metrics beside them, for
/// `promtool check metrics`.
#[tokio::test]
#[ignore = "for a person to look at what it writes"]
async fn pages_to_look_at() {
    let mut faulty = fake::afternoon().await;
    faulty.config.successful = false;
    faulty.config.faults = vec![
        "error[unknown-key]: unknown field `treshold` in objective `error-rate`\n  --> tenants.yaml:14:7\n   |\n14 |       treshold: above 5%\n   |       ^^^^^^^^ did you mean `critical` or `warning`?".to_owned(),
    ];
    let pages = [
        ("home", Asker::afternoon().await, "/".to_owned()),
        ("faulty", Asker::of(faulty), "/".to_owned()),
        ("empty", Asker::of(fake::empty()), "/".to_owned()),
        (
            "decision",
            Asker::afternoon().await,
            format!("/decisions/{}", fake::rolled_back().id),
        ),
        (
            "held",
            Asker::afternoon().await,
            format!("/decisions/{}", fake::held().id),
        ),
        (
            "alert",
            Asker::afternoon().await,
            format!("/alerts/{}", episode(&broken(), at(640))),
        ),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, asker, path) in pages {
        let answer = asker.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        std::fs::write(folder.join(format!("{name}.html")), answer.text).unwrap();
    }
    let metrics = Asker::afternoon().await.get("/metrics").await;
    std::fs::write(folder.join("metrics.txt"), metrics.text).unwrap();
}
