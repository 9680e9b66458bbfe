use std::path::Path;

use super::*;
use crate::notify::message::tests::firing;
use crate::notify::receiver::{Answer, Bare, Receiver, delivery, now, resolved};

/// Short, because what is tested here answers from the loopback or never.
const SOON: Duration = Duration::from_millis(400);

fn slack(folder: &Path, url: &str) -> Slack {
    let path = folder.join("slack");
    std::fs::write(&path, format!("{url}\n")).unwrap();
    Slack::new(SecretRef::File(path), None, SOON)
}

async fn sent(url: &str) -> Sent {
    let folder = tempfile::tempdir().unwrap();
    let sent = slack(folder.path(), url)
        .send(&delivery(firing()), now())
        .await;
    let text = format!("{sent:?}");
    assert!(
        !text.contains("sesame") && !text.contains("127.0.0.1"),
        "{text}"
    );
    sent
}

fn again(why: &str, after: Option<u64>) -> Sent {
    Sent::Again {
        why: why.into(),
        after: after.map(Duration::from_secs),
    }
}

/// What Slack's documentation demands of a message; the texts of its blocks.
fn conforms(body: &str) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(!body["text"].as_str().unwrap().is_empty());
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    let text = |value: &serde_json::Value, kind: &str, max: usize| {
        assert_eq!(value["type"], kind);
        let text = value["text"].as_str().unwrap();
        assert!((1..=max).contains(&text.chars().count()), "{}", text.len());
        text.to_owned()
    };
    blocks
        .iter()
        .map(|block| match block["type"].as_str().unwrap() {
            "header" => text(&block["text"], "plain_text", 150),
            "section" => text(&block["text"], "mrkdwn", 3_000),
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                text(&elements[0], "mrkdwn", 3_000)
            }
            other => panic!("an unexpected block {other}"),
        })
        .collect()
}

#[tokio::test]
async fn a_message_arrives_as_blocks_with_a_fallback_text() {
    let receiver = Receiver::http((200, &[("content-type", "text/html")], "ok")).await;
    let folder = tempfile::tempdir().unwrap();
    let sender = Slack {
        channel: Some("#ops".into()),
        ..slack(folder.path(), &receiver.url)
    };
    for message in [firing(), resolved()] {
        let sent = sender.send(&delivery(message), now()).await;
        assert_eq!(sent, Sent::Taken("200 OK".into()));
    }
    let seen = receiver.seen();
    assert_eq!(
        conforms(&seen[0].body),
        [
            "CRITICAL: error-rate of acme/traffic is 19.8%, above 10%",
            "198 of 1000 requests failed in 5m; last: 500 &lt;internal&gt; &amp; so on",
            "Tenant acme, objective error-rate, probe traffic.",
            "Since 2026-01-05 09:00:00 UTC.",
            "<http://holdfast.example.com:9811/alerts/1|Open in Holdfast> · \
             <https://runbooks.example.com/errors|Runbook>",
            "team=payments · holdfast abababababab",
        ]
    );
    assert!(conforms(&seen[1].body)[0].starts_with("RESOLVED: "));
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(body["channel"], "#ops");
    assert_eq!(
        body["text"],
        "CRITICAL: error-rate of acme/traffic is 19.8%, above 10%"
    );
}

#[test]
fn texts_that_are_too_long_are_cut_to_the_limits_without_breaking_an_escape() {
    let mut message = firing();
    let mut put = |name: &str, value: String| message.annotations.insert(name.into(), value);
    put("summary", "é".repeat(400));
    put("description", "&".repeat(10_000));
    put(
        "runbook_url",
        format!("https://example.com/{}", "x".repeat(4_000)),
    );
    for index in 0..400 {
        message
            .labels
            .insert(format!("label-{index}"), "<value>".into());
    }
    let body = serde_json::to_string(&content(&message)).unwrap();
    let texts = conforms(&body);
    assert_eq!(texts[0].chars().count(), 150);
    assert!(texts[1].ends_with("&amp;…"), "{}", &texts[1][2_900..]);
    assert!(texts[4].starts_with("<http://holdfast") && !texts[4].contains("Runbook"));
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    let refused = |text: &str| Sent::Refused(text.into());
    let cases: [(Answer, Sent); 11] = [
        ((200, &[HTML], "ok"), Sent::Taken("200 OK".into())),
        (
            (429, &[HTML, ("retry-after", "30")], "rate_limited"),
            again("429 Too Many Requests", Some(30)),
        ),
        (
            (400, &[HTML], "invalid_blocks"),
            refused("400 Bad Request: invalid_blocks"),
        ),
        (
            (404, &[HTML], "no_service"),
            refused("404 Not Found: no_service"),
        ),
        (
            (404, &[HTML], "channel_not_found"),
            refused("404 Not Found: channel_not_found"),
        ),
        ((403, &[HTML], "<b>sesame</b>"), refused("403 Forbidden")),
        (
            (500, &[HTML], "rollup_error"),
            again("500 Internal Server Error: rollup_error", None),
        ),
        (
            (200, &[JSON], r#"{"ok":false,"error":"invalid_blocks"}"#),
            refused("slack says invalid_blocks"),
        ),
        (
            (200, &[JSON], r#"{"ok":false,"error":"internal_error"}"#),
            again("slack says internal_error", None),
        ),
        (
            (200, &[JSON], "<sesame>"),
            again("the answer cannot be read", None),
        ),
        // Without a content type the crate expects JSON, and then its header is lost to us.
        (
            (429, &[("retry-after", "30")], ""),
            again("the answer cannot be read", None),
        ),
    ];
    for (answer, expected) in cases {
        let receiver = Receiver::http(answer).await;
        assert_eq!(sent(&receiver.url).await, expected, "{answer:?}");
        assert_eq!(receiver.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_ok_without_a_content_type_is_taken() {
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let receiver = Receiver::bare(Bare::Close(ok)).await;
    assert_eq!(sent(&receiver.url).await, Sent::Taken("200 OK".into()));
}

#[tokio::test]
async fn a_slack_that_cannot_be_reached_or_hangs_is_asked_again() {
    let hanging = Receiver::bare(Bare::Hang(b"")).await;
    assert_eq!(
        sent(&hanging.url).await,
        again("timed out after 400ms", None)
    );
    let closing = Receiver::bare(Bare::Close(b"")).await;
    let closed = "the connection was closed before the answer";
    assert_eq!(sent(&closing.url).await, again(closed, None));
    let nobody = Receiver::nobody().await;
    assert_eq!(
        sent(&nobody).await,
        again("the connection was refused", None)
    );
    assert_eq!(
        sent("sesame").await,
        again("the secret of the receiver is not a URL", None)
    );
}

#[tokio::test]
async fn a_missing_secret_is_named_by_its_reference() {
    let missing = SecretRef::Env("HOLDFAST_NO_SUCH_VARIABLE".into());
    let sender = Slack::new(missing, None, SOON);
    assert_eq!(
        sender.send(&delivery(firing()), now()).await,
        again(
            "the environment has no variable HOLDFAST_NO_SUCH_VARIABLE",
            None
        )
    );
}
