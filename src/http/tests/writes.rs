//! Writing: what it does, and who may not.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::{Asker, PORT};
use crate::domain::alert::episode;
use crate::domain::command::Order;
use crate::http::fake::{self, at, blamed, broken};
use crate::http::routes::ROUTES;

#[tokio::test]
async fn nobody_else_writes_anything() {
    let asker = Asker::afternoon().await;
    let writes: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.method != axum::http::Method::GET)
        .map(|route| route.path)
        .collect();
    assert_eq!(writes.len(), 6);
    for path in writes {
        let own = format!("localhost:{PORT}");
        for (peer, host, origin) in [
            ("192.0.2.7:40000", own.as_str(), None),
            ("127.0.0.1:40000", "evil.example", None),
            ("127.0.0.1:40000", own.as_str(), Some("http://evil.example")),
        ] {
            let mut request = Request::post(path.replace(['{', '}'], ""))
                .header("host", host)
                .header("content-type", "application/json");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let answer = asker
                .send(request.body(Body::from("{}")).unwrap(), peer)
                .await;
            assert_eq!(answer.status, 403, "{path} {peer} {host} {origin:?}");
            assert_eq!(answer.json()["code"], "writing-refused");
        }
    }
    assert!(asker.desk.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_person_acknowledges_and_resolves() {
    let asker = Asker::afternoon().await;
    let open = episode(&broken(), at(640));
    let answer = asker
        .post(&format!("/api/v1/alerts/{open}/ack"), r#"{"by":"ada"}"#)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = asker
        .post(&format!("/api/v1/alerts/{open}/resolve"), "")
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    {
        let commands = asker.desk.commands.lock().unwrap();
        assert_eq!(commands[0].by, "ada");
        assert_eq!(commands[0].what, Order::Acknowledge(open));
        assert_eq!(commands[1].by, "api");
        assert_eq!(commands[1].what, Order::Resolve(open));
    }
    let over = episode(&blamed(), at(306));
    let answer = asker.post(&format!("/api/v1/alerts/{over}/ack"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].as_str()),
        (409, Some("refused"))
    );
    let none = "00000000000000000000000000000000";
    assert_eq!(
        asker
            .post(&format!("/api/v1/alerts/{none}/ack"), "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_rollback_is_planned_accepted_or_held() {
    let asker = Asker::afternoon().await;
    let ask = |body: serde_json::Value| {
        let asker = &asker;
        async move { asker.post("/api/v1/rollbacks", &body.to_string()).await }
    };
    let plan = ask(json!({"workload": "acme/api", "dry_run": true})).await;
    assert_eq!(plan.status, 200);
    let plan = plan.json();
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["rollback"], serde_json::Value::Null);
    assert!(
        plan["would_send"].as_str().unwrap().contains("revision 7"),
        "{plan}"
    );

    let accepted = ask(json!({"workload": "acme/api"})).await;
    assert_eq!(accepted.status, 202);
    let place = format!("/api/v1/rollbacks/{}", fake::rollback_id());
    assert_eq!(accepted.headers["location"], place.as_str());

    let held = ask(json!({"workload": "globex/web"})).await;
    assert_eq!(held.status, 409);
    assert_eq!(held.kind, "application/problem+json");
    assert_eq!(held.json()["code"], "held");
    assert_eq!(held.json()["decision"]["hold"], "mode-observe");

    assert_eq!(
        ask(json!({"workload": "acme/api", "to": 99})).await.status,
        404
    );
    assert_eq!(ask(json!({"workload": "acme/nothing"})).await.status, 404);
    assert_eq!(ask(json!({"workload": "acme"})).await.status, 400);
    assert_eq!(
        ask(json!({"workload": "acme/api", "force": true}))
            .await
            .status,
        400
    );
    assert_eq!(
        ask(json!({"workload": "acme/api", "by": "a\nb"}))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn bodies_have_a_kind_and_a_size() {
    let asker = Asker::afternoon().await;
    let send = |kind: &str, body: String| {
        let request = Request::post("/api/v1/rollbacks")
            .header("host", format!("localhost:{PORT}"))
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap();
        asker.send(request, "127.0.0.1:40000")
    };
    assert_eq!(send("text/plain", "{}".to_owned()).await.status, 415);
    assert_eq!(send("application/json", "{".to_owned()).await.status, 400);
    let huge = send("application/json", " ".repeat(1 << 20)).await;
    assert_eq!(huge.status, 413, "{}", huge.text);
    assert_eq!(huge.kind, "application/problem+json");
}

#[tokio::test]
async fn heartbeats_and_runs_reach_their_probes() {
    let asker = Asker::afternoon().await;
    assert_eq!(
        asker
            .post("/api/v1/heartbeats/acme/nightly", "")
            .await
            .status,
        204
    );
    assert_eq!(
        asker.post("/api/v1/heartbeats/acme/api", "").await.status,
        404
    );
    let run = asker.post("/api/v1/probes/acme/api/run", "").await.json();
    assert_eq!(run["sample"]["outcome"], "good");
    assert_eq!(run["stages"][1]["stage"], "connect");
    assert_eq!(
        asker
            .post("/api/v1/probes/acme/nothing/run", "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_reload_that_fails_gives_the_faults() {
    let mut desk = fake::empty();
    desk.reload = Err(vec![
        "error[unknown-key]: unknown field `treshold`".to_owned(),
    ]);
    let answer = Asker::of(desk).post("/-/reload", "").await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json()["faults"][0],
        "error[unknown-key]: unknown field `treshold`"
    );
}
