//! Each fault comes from a real socket on loopback.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::observation::{Fault, Finding, Observation, Stage};
use crate::domain::target::{
    HeaderValue, HttpExpectation, HttpTarget, JsonPath, JsonScalar, Probe, SecretRef, Target,
};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::probe::means::Means;
use crate::probe::stand_in::{Act, StandIn, nobody, roots};
use crate::probe::{Kept, build};

const NOW: Timestamp = Timestamp::from_secs(1_767_603_600);

fn target(url: String) -> HttpTarget {
    HttpTarget {
        url,
        method: "GET".into(),
        headers: BTreeMap::new(),
        body: None,
        expect: HttpExpectation::default(),
        value: None,
        redirects_max: 0,
    }
}

async fn look_with(target: HttpTarget, timeout: Duration, means: &Means) -> Observation {
    let probe = Probe {
        id: "acme/api".parse().unwrap(),
        target: Target::Http(Box::new(target)),
        every: Duration::from_secs(30),
        timeout,
        retries: 0,
        labels: BTreeMap::new(),
    };
    build(&probe, means, &Kept::Nothing).look(NOW).await
}

async fn look(target: HttpTarget) -> Observation {
    look_with(
        target,
        Duration::from_secs(10),
        &Means::trusting_only(roots()),
    )
    .await
}

fn path(text: &str) -> JsonPath {
    JsonPath(text.split('.').map(str::to_owned).collect())
}

fn stages(observation: &Observation) -> Vec<&'static str> {
    observation
        .stages
        .iter()
        .map(|(stage, _)| stage.as_str())
        .collect()
}

fn value(observation: &Observation) -> Option<Value> {
    match &observation.result {
        Ok(Finding::Look { value, .. }) => *value,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_healthy_answer_has_a_time_for_each_phase_that_adds_up() {
    let server = StandIn::new(|_| Act::body("fine")).await;
    let observation = look(target(server.url("/health?deep=1"))).await;
    assert_eq!(value(&observation), None);
    assert_eq!(
        stages(&observation),
        ["connect", "first-byte", "body", "expect"]
    );
    let sum: Duration = observation.stages.iter().map(|(_, time)| *time).sum();
    assert!(sum <= observation.took, "{observation:?}");
    let head = server.requests().remove(0);
    assert!(
        head.starts_with("GET /health?deep=1 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("host: {}\r\n", server.address())),
        "{head}"
    );
    assert!(
        head.contains(concat!("user-agent: holdfast/", env!("CARGO_PKG_VERSION"))),
        "{head}"
    );
}

#[tokio::test]
async fn a_name_is_resolved_first() {
    let server = StandIn::new(|_| Act::status("204 No Content")).await;
    let url = format!("http://localhost:{}/", server.address().port());
    let observation = look(target(url)).await;
    assert!(observation.result.is_ok(), "{observation:?}");
    assert_eq!(
        stages(&observation),
        ["resolve", "connect", "first-byte", "body", "expect"]
    );
}

#[tokio::test]
async fn a_refused_connection_is_refused() {
    let observation = look(target(format!("http://{}/", nobody().await))).await;
    assert_eq!(observation.result, Err(Fault::Refused));
    assert_eq!(observation.reached, Stage::Connect);
}

#[tokio::test]
async fn a_reset_and_a_silent_close_are_resets() {
    let server = StandIn::resetting().await;
    let observation = look(target(server.url("/"))).await;
    assert_eq!(observation.result, Err(Fault::Reset));
    assert_eq!(observation.reached, Stage::FirstByte);
    let server = StandIn::new(|_| Act::Close).await;
    assert_eq!(
        look(target(server.url("/"))).await.result,
        Err(Fault::Reset)
    );
}

#[tokio::test]
async fn silence_ends_at_the_deadline_in_the_phase_where_it_was() {
    let server = StandIn::new(|_| Act::Silence).await;
    let timeout = Duration::from_millis(200);
    let observation = look_with(target(server.url("/")), timeout, &Means::default()).await;
    assert_eq!(observation.result, Err(Fault::TimedOut));
    assert_eq!(observation.reached, Stage::FirstByte);
    assert_eq!(observation.took, timeout);
}

#[tokio::test]
async fn a_slow_body_is_a_slow_body_and_one_that_never_ends_times_out() {
    let head = || b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfi".to_vec();
    let pause = Duration::from_millis(150);
    let server = StandIn::new(move |_| Act::Slowly(head(), pause, b"ne".to_vec())).await;
    let observation = look(target(server.url("/"))).await;
    assert!(observation.result.is_ok());
    let (_, body) = observation.stages[2];
    // The pause begins before the first bytes have arrived here.
    assert!(body > pause / 2, "{observation:?}");

    let server = StandIn::new(move |_| Act::Slowly(head(), Duration::from_secs(60), vec![])).await;
    let timeout = Duration::from_millis(200);
    let observation = look_with(target(server.url("/")), timeout, &Means::default()).await;
    assert_eq!(observation.result, Err(Fault::TimedOut));
    assert_eq!(observation.reached, Stage::Body);
}

#[tokio::test]
async fn a_body_cut_short_is_a_reset() {
    let server = StandIn::new(|_| {
        Act::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\nonly this".to_vec())
    })
    .await;
    let observation = look(target(server.url("/"))).await;
    assert_eq!(observation.result, Err(Fault::Reset));
    assert_eq!(observation.reached, Stage::Body);
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_whole() {
    let server = StandIn::new(|_| Act::Answer(b"HTTP/1.0 200 OK\r\n\r\nall of it".to_vec())).await;
    let mut reads = target(server.url("/"));
    reads.expect.body_matches = Some("^all of it$".into());
    let observation = look(reads).await;
    assert!(observation.result.is_ok(), "{observation:?}");
}

#[tokio::test]
async fn a_huge_body_is_too_large_only_for_who_must_read_it() {
    let chunk = || [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let server = StandIn::new(move |_| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        Act::Endless(head, chunk())
    })
    .await;
    let mut reads = target(server.url("/"));
    reads.expect.body_contains = Some("y".into());
    assert_eq!(look(reads).await.result, Err(Fault::TooLarge(1024 * 1024)));
    let observation = look(target(server.url("/"))).await;
    assert!(observation.result.is_ok(), "{observation:?}");
}

#[tokio::test]
async fn an_announced_huge_body_is_not_even_begun() {
    let server = StandIn::new(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
        Act::Slowly(head, Duration::from_secs(60), vec![])
    })
    .await;
    let mut reads = target(server.url("/"));
    reads.expect.body_contains = Some("y".into());
    assert_eq!(look(reads).await.result, Err(Fault::TooLarge(1024 * 1024)));
}

#[tokio::test]
async fn nonsense_is_no_valid_answer() {
    let server = StandIn::new(|_| Act::Answer(b"220 mail ESMTP ready\r\n\r\n".to_vec())).await;
    let observation = look(target(server.url("/"))).await;
    assert!(
        matches!(observation.result, Err(Fault::Protocol(_))),
        "{observation:?}"
    );
}

#[tokio::test]
async fn a_wrong_status_says_which_one_was_expected() {
    let server = StandIn::new(|_| Act::status("503 Service Unavailable")).await;
    let mut strict = target(server.url("/"));
    strict.expect.status = vec![(200, 200), (300, 399), (404, 410)];
    for (target, text) in [
        (target(server.url("/")), "status 503, expected 2xx"),
        (strict, "status 503, expected 200 or 3xx or 404-410"),
    ] {
        let observation = look(target).await;
        assert_eq!(observation.result, Err(Fault::Unexpected(text.into())));
        assert_eq!(observation.reached, Stage::Expect);
    }
}

#[tokio::test]
async fn bodies_headers_and_json_are_held_against_what_is_expected() {
    let server = StandIn::new(|_| {
        let body = r#"{"status":"ok","db":[{"lag":1.0}],"queue":"17"}"#;
        Act::Answer(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into(),
        )
    })
    .await;
    let base = target(server.url("/"));
    let expecting = |set: &dyn Fn(&mut HttpTarget)| {
        let mut target = base.clone();
        set(&mut target);
        target
    };
    let json = |at: &str, scalar: &str| vec![(path(at), JsonScalar(scalar.into()))];
    let header = |pattern: &str| BTreeMap::from([("content-type".into(), pattern.into())]);
    let good: Vec<HttpTarget> = vec![
        expecting(&|t| t.expect.body_contains = Some(r#""ok""#.into())),
        expecting(&|t| t.expect.body_matches = Some(r"lag.:\d".into())),
        expecting(&|t| t.expect.json = json("status", r#""ok""#)),
        expecting(&|t| t.expect.json = json("db.0.lag", "1")),
        expecting(&|t| t.expect.headers = header("application/.*")),
    ];
    for target in good {
        let observation = look(target.clone()).await;
        assert!(observation.result.is_ok(), "{target:?} {observation:?}");
    }
    let bad = [
        (
            expecting(&|t| t.expect.body_contains = Some("broken".into())),
            "the body does not contain `broken`",
        ),
        (
            expecting(&|t| t.expect.body_matches = Some("^ok$".into())),
            "the body does not match `^ok$`",
        ),
        (
            expecting(&|t| t.expect.json = json("status", "true")),
            "`status` in the body is not true",
        ),
        (
            expecting(&|t| t.expect.json = json("db.1.lag", "1")),
            "`db.1.lag` in the body is not 1",
        ),
        (
            expecting(&|t| t.expect.headers = header("json")),
            "the header `content-type` is not as expected",
        ),
        (
            expecting(&|t| t.value = Some(path("status"))),
            "`status` in the body is not a number",
        ),
    ];
    for (target, text) in bad {
        let observation = look(target).await;
        assert_eq!(observation.result, Err(Fault::Unexpected(text.into())));
    }
    for (at, number) in [("db.0.lag", 1), ("queue", 17)] {
        let observation = look(expecting(&|t| t.value = Some(path(at)))).await;
        assert_eq!(value(&observation), Some(Value::whole(number)));
    }
}

#[tokio::test]
async fn a_redirect_is_judged_by_its_status_unless_it_is_to_be_followed() {
    let server = StandIn::new(|head| {
        if head.starts_with("GET /new ") {
            Act::body("moved here")
        } else {
            Act::redirect("/new")
        }
    })
    .await;
    let observation = look(target(server.url("/old"))).await;
    assert_eq!(
        observation.result,
        Err(Fault::Unexpected("status 302, expected 2xx".into()))
    );
    let mut following = target(server.url("/old"));
    following.redirects_max = 1;
    following.expect.body_contains = Some("moved here".into());
    assert!(look(following).await.result.is_ok());
}

#[tokio::test]
async fn a_redirect_in_a_circle_ends_at_its_limit() {
    let server = StandIn::new(|_| Act::redirect("/again")).await;
    let mut following = target(server.url("/"));
    following.redirects_max = 3;
    let observation = look(following).await;
    assert_eq!(
        observation.result,
        Err(Fault::Unexpected("status 302, expected 2xx".into()))
    );
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_secret_header_goes_to_the_target_and_not_to_where_it_points() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let elsewhere = StandIn::new(|_| Act::status("200 OK")).await;
    let location = elsewhere.url("/");
    let server = StandIn::new(move |_| Act::redirect(&location)).await;
    let mut with_secret = target(server.url("/"));
    with_secret.redirects_max = 1;
    let secret = |path: &std::path::Path| HeaderValue::Secret(SecretRef::File(path.into()));
    with_secret.headers.insert("x-token".into(), secret(&file));
    with_secret
        .headers
        .insert("x-plain".into(), HeaderValue::Plain("seen".into()));
    assert!(look(with_secret.clone()).await.result.is_ok());
    assert!(server.requests()[0].contains("x-token: s3cret\r\n"));
    assert!(!elsewhere.requests()[0].contains("s3cret"));
    assert!(elsewhere.requests()[0].contains("x-plain: seen\r\n"));
    let host = format!("host: {}\r\n", elsewhere.address());
    assert!(elsewhere.requests()[0].contains(&host));

    let missing = secret(&folder.path().join("gone"));
    with_secret.headers.insert("x-token".into(), missing);
    let observation = look(with_secret).await;
    assert!(
        matches!(observation.result, Err(Fault::Local(_))),
        "{observation:?}"
    );
    assert_eq!(
        server.requests().len(),
        1,
        "nothing was sent without the secret"
    );
}

#[tokio::test]
async fn a_body_is_sent_with_its_length() {
    let server = StandIn::new(|_| Act::status("200 OK")).await;
    let mut posting = target(server.url("/"));
    posting.method = "POST".into();
    posting.body = Some("ping".into());
    assert!(look(posting).await.result.is_ok());
    let head = server.requests().remove(0);
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-length: 4\r\n"), "{head}");
}

#[tokio::test]
async fn a_trusted_certificate_is_good_and_has_a_time_of_its_own() {
    let server = StandIn::tls(|_| Act::status("200 OK")).await;
    let observation = look(target(format!("https://{}/", server.address()))).await;
    assert!(observation.result.is_ok(), "{observation:?}");
    assert_eq!(
        stages(&observation),
        ["connect", "tls", "first-byte", "body", "expect"]
    );
}

#[tokio::test]
async fn an_untrusted_certificate_or_none_at_all_is_a_failed_handshake() {
    let server = StandIn::tls(|_| Act::status("200 OK")).await;
    let url = format!("https://{}/", server.address());
    let strict = Means::trusting_only(rustls::RootCertStore::empty());
    let observation = look_with(target(url), Duration::from_secs(5), &strict).await;
    assert!(
        matches!(&observation.result, Err(Fault::Tls(why)) if why.contains("certificate")),
        "{observation:?}"
    );
    assert_eq!(observation.reached, Stage::Tls);

    let plain = StandIn::new(|_| Act::status("200 OK")).await;
    let url = format!("https://{}/", plain.address());
    let timeout = Duration::from_millis(500);
    let means = Means::trusting_only(roots());
    let observation = look_with(target(url), timeout, &means).await;
    assert_eq!(observation.reached, Stage::Tls);
    assert!(observation.result.is_err());
}

#[tokio::test]
async fn a_target_that_cannot_be_built_is_holdfast_s_own_fault() {
    let observation = look(target("gopher://acme/".into())).await;
    assert_eq!(
        observation.result,
        Err(Fault::Local("the URL is neither http nor https".into()))
    );
}
