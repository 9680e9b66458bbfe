//! Against a stand-in that answers in the shapes of Prometheus' HTTP API.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::domain::observation::{Finding, Observation};
use crate::domain::target::{Probe, Target};
use crate::domain::time::Span;
use crate::probe::stand_in::{Act, StandIn, nobody};
use crate::probe::{Look, build};

const NOW: Timestamp = Timestamp::from_secs(1_767_603_600);

fn success(kind: &str, result: &str) -> Act {
    json(
        "200 OK",
        &format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#),
    )
}

fn json(status: &str, body: &str) -> Act {
    let length = body.len();
    Act::Answer(
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
            .into(),
    )
}

fn probe(url: &str, form: PrometheusForm) -> Probe {
    Probe {
        id: "acme/traffic".parse().unwrap(),
        target: Target::Prometheus(PrometheusTarget {
            source: Name::literal("prometheus"),
            url: url.to_owned(),
            form,
        }),
        every: Duration::from_secs(15),
        timeout: Duration::from_millis(500),
        retries: 0,
        labels: BTreeMap::new(),
    }
}

fn looking(probe: &Probe) -> std::sync::Arc<dyn Look> {
    build(probe, &Means::default(), &Kept::anew(&probe.target, NOW))
}

fn query(empty: EmptyResult) -> PrometheusForm {
    PrometheusForm::Query {
        query: r#"users{tenant="acme"} / 10"#.into(),
        empty,
    }
}

fn counters() -> PrometheusForm {
    PrometheusForm::Counters {
        total: "requests_total".into(),
        part: CounterPart::Bad("errors_total".into()),
        pod_label: "pod".into(),
    }
}

async fn ask(act: impl Fn() -> Act + Send + Sync + 'static, empty: EmptyResult) -> Observation {
    let server = StandIn::new(move |_| act()).await;
    looking(&probe(&server.url(""), query(empty)))
        .look(NOW)
        .await
}

fn why(observation: &Observation) -> &str {
    match &observation.result {
        Err(Fault::Source { source, why }) => {
            assert_eq!(source.as_str(), "prometheus");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_sample_or_a_scalar_is_the_value_at_the_time_of_the_look() {
    let server = StandIn::new(|_| {
        success(
            "vector",
            r#"[{"metric":{"tenant":"acme"},"value":[1767603600,"0.85"]}]"#,
        )
    })
    .await;
    let look = looking(&probe(&server.url(""), query(EmptyResult::Void)));
    let observation = look.look(NOW + Duration::from_millis(250)).await;
    let Ok(Finding::Look { value, .. }) = observation.result else {
        panic!("{observation:?}");
    };
    assert_eq!(value.unwrap().to_string(), "0.85");
    let head = server.requests().remove(0);
    assert!(head.starts_with("GET /api/v1/query?"), "{head}");
    assert!(head.contains("time=1767603600.250"), "{head}");
    assert!(
        head.contains("query=users%7Btenant%3D%22acme%22%7D"),
        "{head}"
    );

    let scalar = || success("scalar", r#"[1767603600.1,"3"]"#);
    let observation = ask(scalar, EmptyResult::Void).await;
    assert!(
        matches!(observation.result, Ok(Finding::Look { value: Some(value), .. }) if value == Value::whole(3))
    );
}

#[tokio::test]
async fn an_empty_result_means_what_the_configuration_says() {
    let empty = || success("vector", "[]");
    assert_eq!(
        ask(empty, EmptyResult::Void).await.result,
        Err(Fault::Empty)
    );
    assert!(ask(empty, EmptyResult::Good).await.result.is_ok());
    assert_eq!(
        ask(empty, EmptyResult::Bad).await.result,
        Err(Fault::Unexpected("the query gives no result".into()))
    );
}

#[tokio::test]
async fn not_a_number_is_nothing_to_see() {
    for number in ["NaN", "+Inf", "-Inf"] {
        let act = move || {
            success(
                "vector",
                &format!(r#"[{{"metric":{{}},"value":[1,"{number}"]}}]"#),
            )
        };
        assert_eq!(ask(act, EmptyResult::Bad).await.result, Err(Fault::Empty));
    }
}

#[tokio::test]
async fn whatever_goes_wrong_is_the_source_s_fault() {
    type Case = (fn() -> Act, &'static str);
    let cases: Vec<Case> = vec![
        (
            || {
                success(
                    "vector",
                    r#"[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"2"]}]"#,
                )
            },
            "the query gives 2 series, expected one",
        ),
        (
            || {
                json(
                    "400 Bad Request",
                    r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}"#,
                )
            },
            "bad_data: parse error: unexpected end",
        ),
        (
            || {
                json(
                    "503 Service Unavailable",
                    r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
                )
            },
            "timeout: query timed out",
        ),
        (
            || json("502 Bad Gateway", "<html>nginx</html>"),
            "status 502, and the answer is not Prometheus'",
        ),
        (
            || json("200 OK", r#"{"healthy":true}"#),
            "status 200, and the answer is not Prometheus'",
        ),
        (
            || Act::redirect("/login"),
            "status 302, and the answer is not Prometheus'",
        ),
        (|| Act::Silence, "no answer in time"),
    ];
    for (act, text) in cases {
        let observation = ask(act, EmptyResult::Bad).await;
        assert_eq!(why(&observation), text);
    }
    let refused = looking(&probe(&format!("http://{}", nobody().await), counters()));
    assert!(why(&refused.look(NOW).await).contains("refused"));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read_to_its_end() {
    let endless = || {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        Act::Endless(
            head,
            [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat(),
        )
    };
    let server = StandIn::new(move |_| endless()).await;
    let mut probe = probe(&server.url(""), query(EmptyResult::Void));
    probe.timeout = Duration::from_secs(20);
    assert_eq!(
        why(&looking(&probe).look(NOW).await),
        "the answer is larger than 8388608 bytes"
    );
}

/// What the stand-in gives for `requests_total` and `errors_total`, by pod; none: it fails.
type World = Option<Vec<(&'static str, u32, u32)>>;

async fn world() -> (StandIn, std::sync::Arc<Mutex<World>>) {
    let world = std::sync::Arc::new(Mutex::new(Some(Vec::new())));
    let seen = world.clone();
    let server = StandIn::new(move |head| {
        let Some(pods) = seen.lock().unwrap().clone() else {
            return json("502 Bad Gateway", "<html>");
        };
        let errors = head.contains("query=errors_total");
        let series: Vec<String> = pods
            .iter()
            .map(|(pod, total, bad)| (pod, if errors { bad } else { total }))
            .filter(|(_, count)| !errors || **count > 0)
            .map(|(pod, count)| {
                format!(r#"{{"metric":{{"__name__":"x","pod":"{pod}"}},"value":[1,"{count}"]}}"#)
            })
            .collect();
        success("vector", &format!("[{}]", series.join(",")))
    })
    .await;
    (server, world)
}

fn counts(observation: &Observation) -> (Tally, Vec<(&str, Tally)>) {
    match &observation.result {
        Ok(Finding::Counts(split)) => (
            split.total,
            split
                .by_pod
                .iter()
                .map(|(pod, tally)| (pod.as_ref(), *tally))
                .collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_look_carries_exact_counts_by_pod_and_a_failed_one_leaves_them_to_the_next() {
    let (server, world) = world().await;
    let look = looking(&probe(&server.url(""), counters()));
    let at = |seconds| NOW + Duration::from_secs(seconds);
    let set = |pods: World| *world.lock().unwrap() = pods;

    set(Some(vec![]));
    assert_eq!(
        look.look(at(0)).await.result,
        Err(Fault::Empty),
        "no traffic yet"
    );
    set(Some(vec![("v1", 1000, 3)]));
    let baseline = look.look(at(15)).await;
    assert_eq!(counts(&baseline), (Tally::default(), vec![]));
    assert_eq!(baseline.span, Span::at(at(15)));

    set(Some(vec![("v1", 1100, 4), ("v2", 50, 10)]));
    let second = look.look(at(30)).await;
    let (v1, v2) = (Tally { good: 99, bad: 1 }, Tally { good: 40, bad: 10 });
    assert_eq!(
        counts(&second),
        (Tally { good: 139, bad: 11 }, vec![("v1", v1), ("v2", v2)])
    );
    assert_eq!(
        second.span,
        Span {
            from: at(15),
            to: at(30)
        }
    );

    set(None);
    assert!(matches!(
        look.look(at(45)).await.result,
        Err(Fault::Source { .. })
    ));
    set(Some(vec![("v1", 1100, 4), ("v2", 7, 2)]));
    let after = look.look(at(60)).await;
    assert_eq!(counts(&after).0, Tally { good: 5, bad: 2 }, "v2 restarted");
    assert_eq!(
        after.span,
        Span {
            from: at(30),
            to: at(60)
        }
    );
}

#[tokio::test]
async fn counters_go_on_where_they_were_when_only_the_interval_changed() {
    let (server, world) = world().await;
    let mut probe = probe(&server.url(""), counters());
    let kept = Kept::anew(&probe.target, NOW);
    *world.lock().unwrap() = Some(vec![("v1", 10, 0)]);
    build(&probe, &Means::default(), &kept).look(NOW).await;
    probe.every = Duration::from_secs(30);
    *world.lock().unwrap() = Some(vec![("v1", 30, 0)]);
    let observation = build(&probe, &Means::default(), &kept)
        .look(NOW + Duration::from_secs(30))
        .await;
    assert_eq!(counts(&observation).0, Tally { good: 20, bad: 0 });
}
