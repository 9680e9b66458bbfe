use std::path::PathBuf;

use super::*;
use crate::notify::message::tests::firing;
use crate::notify::receiver::{Answer, Bare, Receiver, delivery, now, resolved};

/// Short, because what is tested here answers from the loopback or never.
const SOON: Duration = Duration::from_millis(400);

fn webhook(url: &str) -> Webhook {
    Webhook::new(
        "hook".parse().unwrap(),
        Address::Plain(url.to_owned()),
        None,
        SOON,
    )
}

async fn sent(receiver: &Receiver) -> Sent {
    let sent = webhook(&receiver.url)
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

#[tokio::test]
async fn a_firing_alert_arrives_in_alertmanagers_form() {
    let receiver = Receiver::http((200, &[], "ok")).await;
    assert_eq!(sent(&receiver).await, Sent::Taken("200 OK".into()));
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    let labels = serde_json::json!({
        "alertname": "error-rate", "objective": "error-rate", "probe": "traffic",
        "severity": "critical", "team": "payments", "tenant": "acme",
    });
    let annotations = serde_json::json!({
        "dashboard": "http://holdfast.example.com:9811/alerts/1",
        "description": "198 of 1000 requests failed in 5m; last: 500 <internal> & so on",
        "runbook_url": "https://runbooks.example.com/errors",
        "summary": "error-rate of acme/traffic is 19.8%,\nabove 10%",
    });
    let expected = serde_json::json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"error-rate\", objective=\"error-rate\", probe=\"traffic\", tenant=\"acme\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hook",
        "groupLabels": {
            "alertname": "error-rate", "objective": "error-rate", "probe": "traffic", "tenant": "acme",
        },
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "http://holdfast.example.com:9811",
        "alerts": [{
            "status": "firing",
            "labels": labels,
            "annotations": annotations,
            "startsAt": "2026-01-05T09:00:00.25Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://holdfast.example.com:9811/alerts/1",
            "fingerprint": "abababababababab",
        }],
    });
    assert_eq!(body, expected);
    let header = |name: &str| seen[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("idempotency-key"), delivery(firing()).id.to_string());
    assert!(header("user-agent").starts_with("holdfast/"));
    assert!(!seen[0].headers.contains_key("x-holdfast-signature"));
}

#[tokio::test]
async fn a_resolved_alert_carries_its_end_and_the_same_fingerprint_and_group() {
    let receiver = Receiver::http((204, &[], "")).await;
    let hook = webhook(&receiver.url);
    for message in [firing(), resolved()] {
        let sent = hook.send(&delivery(message), now()).await;
        assert_eq!(sent, Sent::Taken("204 No Content".into()));
    }
    let bodies: Vec<serde_json::Value> = receiver
        .seen()
        .iter()
        .map(|seen| serde_json::from_str(&seen.body).unwrap())
        .collect();
    assert_eq!(bodies[1]["status"], "resolved");
    assert_eq!(bodies[1]["alerts"][0]["endsAt"], "2026-01-05T09:04:10Z");
    assert_eq!(bodies[0]["groupKey"], bodies[1]["groupKey"]);
    let fingerprint = |body: &serde_json::Value| body["alerts"][0]["fingerprint"].clone();
    assert_eq!(fingerprint(&bodies[0]), fingerprint(&bodies[1]));
}

#[test]
fn the_signature_is_the_hmac_of_time_and_body() {
    // python: hmac.new(b"s3cret", b'1767603600.{"a":1}', hashlib.sha256).hexdigest()
    assert_eq!(
        sign("s3cret", 1_767_603_600, r#"{"a":1}"#),
        "4097a2fcdfdf9448745dba81f18cb3fa92f3e61306fb44283227df3caaac0974"
    );
}

#[tokio::test]
async fn a_secret_signs_and_a_replaced_one_signs_the_next_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hmac");
    let receiver = Receiver::http((200, &[], "")).await;
    let hook = Webhook {
        secret: Some(SecretRef::File(path.clone())),
        ..webhook(&receiver.url)
    };
    for secret in ["one\n", "two\n"] {
        std::fs::write(&path, secret).unwrap();
        hook.send(&delivery(firing()), now()).await;
    }
    for (seen, secret) in receiver.seen().iter().zip(["one", "two"]) {
        let t = 1_767_603_600;
        let expected = format!("t={t},v1={}", sign(secret, t, &seen.body));
        assert_eq!(seen.headers["x-holdfast-signature"], expected.as_str());
    }
    assert_eq!(receiver.seen().len(), 2);
}

#[tokio::test]
async fn without_its_secret_nothing_is_sent_and_the_reference_is_named() {
    let receiver = Receiver::http((200, &[], "")).await;
    let missing = SecretRef::File(PathBuf::from("/nonexistent/hmac"));
    let unsigned = Webhook {
        secret: Some(missing.clone()),
        ..webhook(&receiver.url)
    };
    let unaddressed = Webhook {
        url: Address::Secret(missing),
        ..webhook(&receiver.url)
    };
    let why = "the secret file /nonexistent/hmac cannot be read (entity not found)";
    for hook in [unsigned, unaddressed] {
        assert_eq!(
            hook.send(&delivery(firing()), now()).await,
            again(why, None)
        );
    }
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    let refused = |text: &str| Sent::Refused(text.into());
    let cases: [(Answer, Sent); 7] = [
        ((202, &[], ""), Sent::Taken("202 Accepted".into())),
        (
            (429, &[("retry-after", "7")], "slow down"),
            again("429 Too Many Requests", Some(7)),
        ),
        (
            (503, &[("retry-after", "Mon, 05 Jan 2026 09:00:20 GMT")], ""),
            again("503 Service Unavailable", Some(20)),
        ),
        ((500, &[], "oops"), again("500 Internal Server Error", None)),
        ((408, &[], ""), again("408 Request Timeout", None)),
        ((400, &[], "sesame"), refused("400 Bad Request")),
        (
            (302, &[("location", "http://127.0.0.1:1/")], ""),
            refused("302 Found: redirects are not followed"),
        ),
    ];
    for (answer, expected) in cases {
        let receiver = Receiver::http(answer).await;
        assert_eq!(sent(&receiver).await, expected);
        assert_eq!(receiver.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_or_breaks_off_before_its_answer_is_asked_again() {
    let closed = "the connection was closed before the answer";
    let cases = [
        (Bare::Hang(b""), "timed out after 400ms"),
        (Bare::Hang(b"HTTP/1.1 200 OK\r\n"), "timed out after 400ms"),
        (Bare::Close(b""), closed),
        (Bare::Close(b"HTTP/1.1 2"), closed),
    ];
    for (bare, why) in cases {
        let receiver = Receiver::bare(bare).await;
        assert_eq!(sent(&receiver).await, again(why, None), "{bare:?}");
    }
}

#[tokio::test]
async fn the_status_is_the_answer_even_if_the_body_breaks_off_or_never_ends() {
    let long: &'static [u8] = Box::leak(
        [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 20_000]]
            .concat()
            .into_boxed_slice(),
    );
    let cases = [
        Bare::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of"),
        Bare::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of"),
        Bare::Hang(long),
    ];
    for bare in cases {
        let receiver = Receiver::bare(bare).await;
        assert_eq!(sent(&receiver).await, Sent::Taken("200 OK".into()));
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_asked_again_and_its_address_is_not_told() {
    let url = Receiver::nobody().await;
    let sent = webhook(&url).send(&delivery(firing()), now()).await;
    assert_eq!(sent, again("the connection was refused", None));
    let nameless = webhook("http://no-such-host.invalid/sesame");
    let sent = nameless.send(&delivery(firing()), now()).await;
    let text = format!("{sent:?}");
    assert!(
        matches!(sent, Sent::Again { .. }) && !text.contains("sesame"),
        "{text}"
    );
    let unreadable = webhook("sesame").send(&delivery(firing()), now()).await;
    assert_eq!(
        unreadable,
        again("the receiver's address is not a URL", None)
    );
}

#[tokio::test]
async fn a_server_without_a_trusted_certificate_is_asked_again() {
    let receiver = Receiver::bare(Bare::Close(b"this is not TLS\r\n\r\n")).await;
    let url = receiver.url.replace("http://", "https://");
    let sent = webhook(&url).send(&delivery(firing()), now()).await;
    assert_eq!(sent, again("the TLS handshake failed", None));
}
