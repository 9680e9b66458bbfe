//! Proxies, receivers and Prometheus behave, and misbehave, as they say.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::daemon::{http_client, sum_of};
use crate::support::eventually::{eventually, never};
use crate::support::faults::{Fault, FaultProxy};
use crate::support::prometheus::{Prometheus, Target};
use crate::support::receiver::{Behaviour, Receiver};
use crate::support::slack::{refusal, start_slack};

const SOON: Duration = Duration::from_secs(30);

fn message(text: &str) -> Value {
    json!({ "text": text })
}

async fn post(receiver: &Receiver, key: &str, body: &Value) -> Result<(u16, String), String> {
    let request = http_client()
        .post(receiver.url())
        .header("Idempotency-Key", key)
        .json(body)
        .send();
    let response = request.await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    response
        .text()
        .await
        .map(|text| (status, text))
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_receiver_keeps_every_post_and_counts_a_retry_once() {
    let receiver = Receiver::start().await;
    post(&receiver, "a", &message("one")).await.unwrap();
    post(&receiver, "a", &message("one")).await.unwrap();
    post(&receiver, "b", &message("two")).await.unwrap();
    assert_eq!(
        receiver.accepted_by_key(),
        [("a".to_owned(), 2), ("b".to_owned(), 1)].into()
    );
    assert_eq!(receiver.messages().len(), 2);
    let two = receiver
        .wait_for("two", SOON, |body| body["text"] == "two")
        .await;
    assert_eq!(
        (two.path.as_str(), two.idempotency_key()),
        ("/hook", Some("b"))
    );
    assert!(two.at >= receiver.posts()[0].at);
}

#[tokio::test]
async fn a_lost_answer_is_of_a_request_that_arrived() {
    let receiver = Receiver::start().await;
    let mut proxy = FaultProxy::start(receiver.address()).await;
    proxy.set(Fault::LoseAnswers).await;
    let url = format!("{}/hook", proxy.url());
    let sent = http_client().post(&url).json(&message("once")).send();
    let lost = tokio::time::timeout(Duration::from_millis(500), sent).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(receiver.accepted().len(), 1);
}

#[tokio::test]
async fn a_refusing_proxy_resets_what_is_open_and_keeps_its_address() {
    let receiver = Receiver::start().await;
    let mut proxy = FaultProxy::start(receiver.address()).await;
    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    // Through to the other side, so that the connection is one that the proxy has taken.
    open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 12];
    open.read_exact(&mut some).await.unwrap();
    proxy.set(Fault::Refuse).await;
    let mut rest = Vec::new();
    let end = open.read_to_end(&mut rest).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.set(Fault::Pass).await;
    TcpStream::connect(proxy.address()).await.unwrap();
}

#[tokio::test]
async fn a_receiver_misbehaves_on_demand_and_recovers() {
    let mut receiver = Receiver::start().await;
    receiver.behave(Behaviour::Status(500));
    assert_eq!(post(&receiver, "a", &message("a")).await.unwrap().0, 500);
    receiver.behave(Behaviour::TooMany {
        retry_after_seconds: 3,
    });
    let limited = http_client().post(receiver.url()).send().await.unwrap();
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    receiver.behave(Behaviour::CloseMidBody);
    post(&receiver, "a", &message("a")).await.unwrap_err();
    receiver.behave(Behaviour::Hang);
    let hung = tokio::time::timeout(
        Duration::from_millis(500),
        post(&receiver, "a", &message("a")),
    )
    .await;
    assert!(hung.is_err(), "{hung:?}");
    receiver.go_down().await;
    post(&receiver, "a", &message("a")).await.unwrap_err();
    assert_eq!(receiver.posts().len(), 4, "what was refused never arrived");
    receiver.come_up();
    receiver.behave(Behaviour::Slow(Duration::from_millis(100)));
    assert_eq!(post(&receiver, "a", &message("a")).await.unwrap().0, 200);
    assert_eq!(receiver.accepted().len(), 1);
}

#[tokio::test]
async fn slack_takes_what_its_documentation_allows_and_refuses_the_rest() {
    let slack = start_slack().await;
    let section =
        |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let header =
        |text: &str| json!({ "type": "header", "text": { "type": "plain_text", "text": text } });
    let blocks = |list: Vec<Value>| json!({ "blocks": list });
    let button = json!({ "type": "actions", "elements": [{ "type": "button", "url": "http://x.example",
        "text": { "type": "plain_text", "text": "Decision" } }] });
    let good = [
        message("hello"),
        blocks(vec![
            section(&"x".repeat(3000)),
            header(&"ä".repeat(150)),
            button,
        ]),
        blocks(vec![section("x"); 50]),
    ];
    for body in &good {
        assert_eq!(post(&slack, "k", body).await, Ok((200, "ok".to_owned())));
    }
    let bad = [
        (json!({}), "no_text"),
        (json!([]), "invalid_payload"),
        (blocks(vec![section(&"x".repeat(3001))]), "invalid_blocks"),
        (blocks(vec![header(&"x".repeat(151))]), "invalid_blocks"),
        (blocks(vec![section("x"); 51]), "invalid_blocks"),
        (blocks(vec![section("")]), "invalid_blocks"),
        (blocks(vec![json!({ "type": "section" })]), "invalid_blocks"),
        (
            blocks(vec![json!({ "type": "paragraph" })]),
            "invalid_blocks",
        ),
    ];
    for (body, word) in &bad {
        assert_eq!(
            post(&slack, "k", body).await,
            Ok((400, (*word).to_owned())),
            "{body}"
        );
    }
    assert_eq!(slack.accepted().len(), good.len());
    assert!(
        refusal(&slack.posts()[good.len()])
            .unwrap()
            .starts_with("no_text")
    );
}

async fn get(url: &str) -> Result<String, String> {
    let response = http_client()
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    Ok(format!("{} {text}", status.as_u16()))
}

#[tokio::test]
async fn prometheus_scrapes_what_it_is_given_and_its_proxy_breaks_on_demand() {
    let mut prometheus = Prometheus::start(&[]).await;
    let itself = Target::new(prometheus.address(), &[("tenant", "acme")]);
    prometheus.set_targets(&[itself]);
    eventually("the target is scraped", SOON, || async {
        let result = prometheus.query(r#"up{tenant="acme"}"#).await?;
        let value = result.first().map(|series| series["value"][1].clone());
        if value == Some("1".into()) {
            Ok(())
        } else {
            Err(format!("{result:?}"))
        }
    })
    .await;

    let mut proxy = FaultProxy::start(prometheus.address()).await;
    let url = format!("{}/api/v1/query?query=vector(1)", proxy.url());
    let whole = get(&url).await.unwrap();
    assert!(whole.starts_with("200 {\"status\":\"success\""), "{whole}");
    proxy.set(Fault::CutMidBody).await;
    get(&url).await.unwrap_err();
    proxy
        .set(Fault::Answer {
            status: 503,
            content_type: "text/html",
            body: "busy".into(),
        })
        .await;
    assert_eq!(get(&url).await, Ok("503 busy".to_owned()));
    proxy.set(Fault::Refuse).await;
    get(&url).await.unwrap_err();
    proxy.set(Fault::BlackHole).await;
    let hung = tokio::time::timeout(Duration::from_millis(500), get(&url)).await;
    assert!(hung.is_err(), "{hung:?}");
    proxy.set(Fault::Slow(Duration::from_millis(300))).await;
    let started = tokio::time::Instant::now();
    get(&url).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    proxy.set(Fault::Pass).await;
    assert_eq!(get(&url).await.unwrap()[..20], whole[..20]);

    prometheus.kill().await;
    get(&url).await.unwrap_err();
}

#[test]
fn metrics_are_summed_over_the_series_that_match() {
    let text = "# HELP a_total x\na_total{tenant=\"acme\",probe=\"api\"} 3\n\
                a_total{tenant=\"acme\",probe=\"db\"} 4\na_total_x 9\nb 1.5\n";
    assert_eq!(sum_of(text, "a_total", &[("tenant", "acme")]), Some(7.0));
    assert_eq!(
        sum_of(text, "a_total", &[("tenant", "acme"), ("probe", "db")]),
        Some(4.0)
    );
    assert_eq!(sum_of(text, "a_total", &[("tenant", "globex")]), None);
    assert_eq!(sum_of(text, "b", &[]), Some(1.5));
}

#[tokio::test]
#[should_panic(expected = "the sky is green: not within 60ms; last seen: blue")]
async fn a_condition_that_does_not_come_says_what_was_seen_last() {
    let look = || async { Err::<(), _>("blue") };
    eventually("the sky is green", Duration::from_millis(60), look).await;
}

#[tokio::test]
#[should_panic(expected = "nobody pages: paged")]
async fn what_must_never_happen_is_noticed_when_it_does() {
    let mut looks = 0;
    never("nobody pages", SOON, || {
        looks += 1;
        let paged = looks > 2;
        async move { if paged { Err("paged") } else { Ok(()) } }
    })
    .await;
}
