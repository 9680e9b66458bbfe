//! Reading: every route answers, and every wrong question is a problem.

use axum::http::Method;

use super::Asker;
use crate::domain::alert::episode;
use crate::http::fake::{self, at, broken};
use crate::http::routes::{PLANNED, ROUTES};
use crate::http::shape::story::{AlertStory, DecisionStory};
use crate::wire::Wire as _;

/// A path of the table with its variable parts filled in.
fn filled(path: &str) -> String {
    let alert = episode(&broken(), at(640)).to_string();
    let decision = fake::rolled_back().id.to_string();
    let rollback = fake::rollback_id().to_string();
    let id = if path.contains("alerts") {
        alert
    } else if path.contains("decisions") {
        decision
    } else {
        rollback
    };
    let filled = path
        .replace("{id}", &id)
        .replace("{tenant}/{probe}", "acme/nightly")
        .replace("{tenant}", "acme")
        .replace("{namespace}", "acme")
        .replace("{kind}", "deployment")
        .replace("{name}", "api")
        .replace("{*rest}", "health");
    if filled.ends_with("/samples") {
        format!("{filled}?tenant=globex&probe=api")
    } else {
        filled
    }
}

#[tokio::test]
async fn every_route_of_the_table_answers() {
    let asker = Asker::afternoon().await;
    for route in ROUTES {
        let path = filled(route.path);
        let answer = if route.method == Method::GET {
            asker.get(&path).await
        } else {
            let body = if path.ends_with("/rollbacks") {
                r#"{"workload":"acme/api"}"#
            } else {
                ""
            };
            asker.post(&path, body).await
        };
        assert!(
            answer.status.is_success(),
            "{route:?}: {} {}",
            answer.status,
            answer.text
        );
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{route:?}"
        );
        if path.starts_with("/api/") && !answer.text.is_empty() {
            assert_eq!(answer.kind, "application/json", "{route:?}");
            answer.json();
        }
    }
}

#[tokio::test]
async fn what_is_promised_and_not_built_says_so() {
    let asker = Asker::afternoon().await;
    for path in PLANNED {
        let answer = asker.get(&filled(path)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.kind, "application/problem+json", "{path}");
        assert_eq!(answer.json()["code"], "not-supported-yet", "{path}");
    }
}

#[tokio::test]
async fn every_wrong_question_is_a_problem() {
    let asker = Asker::afternoon().await;
    let none = "00000000000000000000000000000000";
    for (path, status) in [
        ("/nowhere".to_owned(), 404),
        ("/api/v1/nowhere".to_owned(), 404),
        ("/api/v1/tenants/initech".to_owned(), 404),
        ("/api/v1/tenants/UPPER".to_owned(), 404),
        (format!("/api/v1/alerts/{none}"), 404),
        ("/api/v1/alerts/%FF".to_owned(), 400),
        (format!("/api/v1/decisions/{none}"), 404),
        ("/api/v1/decisions/xyz".to_owned(), 404),
        (format!("/decisions/{none}"), 404),
        (format!("/alerts/{none}"), 404),
        (format!("/api/v1/rollbacks/{none}"), 404),
        ("/api/v1/workloads/acme/statefulset/api".to_owned(), 404),
        ("/api/v1/workloads/acme/deployment/web".to_owned(), 404),
        ("/api/v1/alerts?state=burning".to_owned(), 400),
        ("/api/v1/alerts?colour=red".to_owned(), 400),
        ("/api/v1/alerts?since=yesterday".to_owned(), 400),
        ("/api/v1/alerts?limit=0".to_owned(), 400),
        ("/api/v1/alerts?limit=1001".to_owned(), 400),
        ("/api/v1/alerts?cursor=x".to_owned(), 400),
        ("/api/v1/samples".to_owned(), 400),
        ("/api/v1/samples?tenant=acme&probe=nothing".to_owned(), 404),
        ("/api/v1/samples?tenant=globex&probe=api&step=0s".to_owned(), 400),
        ("/api/v1/samples?tenant=globex&probe=api&step=1us".to_owned(), 400),
        ("/api/v1/samples?tenant=globex&probe=api&from=2026-01-05T15:00:00Z&to=2026-01-05T14:00:00Z".to_owned(), 400),
        ("/-/reload".to_owned(), 405),
        ("/?refresh=off&x=1".to_owned(), 400),
    ] {
        let answer = asker.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.kind, "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{path}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{path}");
        assert_eq!(problem["type"], "about:blank", "{path}");
    }
    assert_eq!(asker.get("/-/reload").await.headers["allow"], "POST");
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be_away() {
    let asker = Asker::afternoon().await;
    asker.desk.store.set_away(true);
    let answer = asker.get("/api/v1/alerts").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].as_str()),
        (503, Some("store-unavailable"))
    );
    let ready = asker.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("store"), "{}", ready.text);
    assert_eq!(asker.get("/livez").await.status, 200);
    let page = asker.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("The store does not answer"));
    assert!(
        page.text.contains("not known which are open"),
        "no false calm"
    );
}

#[tokio::test]
async fn a_dead_task_is_neither_live_nor_ready() {
    let mut desk = fake::empty();
    desk.health.died = Some("judge");
    let asker = Asker::of(desk);
    for path in ["/livez", "/health", "/readyz", "/ready"] {
        let answer = asker.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.text.contains("judge"), "{path}");
    }
    let verbose = asker.get("/readyz?verbose").await;
    assert_eq!(verbose.status, 503);
    assert!(
        verbose
            .text
            .contains("[-] tasks: task judge ended by itself"),
        "{}",
        verbose.text
    );
    assert!(
        verbose.text.contains("[+] store: answers"),
        "{}",
        verbose.text
    );
}

#[tokio::test]
async fn stories_are_whole_and_read_back_into_domain() {
    let asker = Asker::afternoon().await;
    let id = fake::rolled_back().id;
    let answer = asker.get(&format!("/api/v1/decisions/{id}")).await;
    let story: DecisionStory = serde_json::from_str(&answer.text).unwrap();
    let decision = crate::domain::decision::Decision::read(story.decision).unwrap();
    assert_eq!(decision, fake::rolled_back());
    assert_eq!(story.deliveries.len(), 2);
    assert_eq!(story.deliveries[1].tries.len(), 2);
    assert!(
        story.advice.contains("Service is restored"),
        "{}",
        story.advice
    );
    let rollout = story.rollout.unwrap();
    assert_eq!(
        (rollout.revision, rollout.trust.as_str()),
        (8, "quarantined")
    );
    assert_eq!(rollout.from_images, ["registry.example/acme/api:1.7.0"]);

    // The annotation on the workload names the rollback: it leads to the same story.
    let by_rollback = asker
        .get(&format!("/api/v1/decisions/{}", fake::rollback_id()))
        .await;
    assert_eq!(by_rollback.text, answer.text);

    let alert = episode(&broken(), at(640));
    let answer = asker.get(&format!("/api/v1/alerts/{alert}")).await;
    let story: AlertStory = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(story.alert.state, "firing");
    assert_eq!((story.transitions.len(), story.deliveries.len()), (1, 1));
}

#[tokio::test]
async fn lists_are_paged_to_the_end_and_filtered() {
    let asker = Asker::afternoon().await;
    for (path, total) in [
        ("/api/v1/alerts?", 2),
        (
            "/api/v1/alerts?state=firing&tenant=globex&severity=critical&",
            1,
        ),
        ("/api/v1/alerts?since=2026-01-05T14:11:00Z&", 1),
        ("/api/v1/objectives?", 4),
        ("/api/v1/objectives?tenant=acme&", 2),
        ("/api/v1/probes?", 6),
        ("/api/v1/tenants?", 2),
        ("/api/v1/workloads?", 2),
        ("/api/v1/rollouts?", 3),
        ("/api/v1/rollouts?workload=globex/web&", 0),
        ("/api/v1/decisions?", 2),
        ("/api/v1/decisions?workload=acme/api&", 1),
        ("/api/v1/rollbacks?", 1),
        ("/api/v1/deliveries?", 3),
    ] {
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let answer = asker.get(&format!("{path}limit=1{next}")).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            let page = answer.json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 1, "{path}");
            seen.extend(items.iter().map(ToString::to_string));
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), total, "{path}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), total, "{path}: a row came twice");
    }
}

#[tokio::test]
async fn samples_are_given_one_by_one_or_summed_up_by_steps() {
    let asker = Asker::afternoon().await;
    let path =
        "/api/v1/samples?tenant=globex&probe=api&from=2026-01-05T13:59:59Z&to=2026-01-05T14:14:59Z";
    let raw = asker.get(path).await.json();
    assert_eq!(raw["samples"].as_array().unwrap().len(), 60);
    assert_eq!(raw["truncated"], false);
    let steps = asker.get(&format!("{path}&step=5m")).await.json();
    let steps = steps["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    let sum = |key: &str| {
        steps
            .iter()
            .map(|step| step[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((sum("good"), sum("bad"), sum("samples")), (48, 12, 60));
    let short = asker.get(&format!("{path}&limit=10")).await.json();
    assert_eq!(short["truncated"], true);
    assert_eq!(
        short["samples"][9], raw["samples"][59],
        "the newest are kept"
    );
}

#[tokio::test]
async fn the_status_sums_everything_up() {
    let status = Asker::afternoon().await.get("/status").await.json();
    assert_eq!(status["ready"], true);
    assert_eq!(status["term"], 7);
    assert_eq!(status["firing"]["critical"], 1);
    assert_eq!(status["tenants"][0]["standing"], "met");
    assert_eq!(status["tenants"][1]["standing"], "critical");
    assert_eq!(status["rollbacks_open"], 0);
}

/// The rows of a table in `docs/api.md`: `| GET | /path | … |`.
fn documented() -> Vec<String> {
    include_str!("../../../docs/api.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (method, path) = (cells.next()?, cells.next()?.trim_matches('`'));
            (path.starts_with('/')).then(|| format!("{method} {path}"))
        })
        .collect()
}

#[test]
fn the_documentation_lists_every_route_and_no_other() {
    let mut routes: Vec<String> = ROUTES.iter().map(|route| format!("{route:?}")).collect();
    routes.extend(PLANNED.iter().map(|path| format!("not yet {path}")));
    routes.sort();
    let mut documented = documented();
    documented.sort();
    assert_eq!(documented, routes);
}
