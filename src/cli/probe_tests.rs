use std::collections::BTreeMap;

use super::*;
use crate::domain::id::Name;
use crate::domain::observation::{Finding, Stage};
use crate::domain::sample::{Split, Tally};
use crate::domain::target::{HeartbeatTarget, HttpExpectation, JsonPath, JsonScalar};
use crate::domain::time::{Span, Timestamp};
use crate::domain::value::Value;
use crate::probe::stand_in::{Act, StandIn};

fn probe(target: Target) -> Probe {
    Probe {
        id: "acme/api".parse().unwrap(),
        target,
        every: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        retries: 0,
        labels: BTreeMap::new(),
    }
}

fn http() -> Target {
    Target::Http(Box::new(HttpTarget {
        url: "http://api.acme.svc/health".into(),
        method: "GET".into(),
        headers: BTreeMap::new(),
        body: None,
        expect: HttpExpectation {
            body_contains: Some("ok".into()),
            json: vec![(JsonPath(vec!["db".into()]), JsonScalar("true".into()))],
            ..HttpExpectation::default()
        },
        value: None,
        redirects_max: 0,
    }))
}

fn observed(stages: &[(Stage, u64)], result: Result<Finding, Fault>) -> Observation {
    let begin = Timestamp::from_secs(1_767_603_600);
    let stages: Vec<_> = stages
        .iter()
        .map(|(stage, micros)| (*stage, Duration::from_micros(*micros)))
        .collect();
    let took = stages.iter().map(|(_, took)| *took).sum();
    Observation {
        probe: "acme/api".parse().unwrap(),
        span: Span::at(begin),
        ended: begin + took,
        reached: stages.last().map_or(Stage::Expect, |(stage, _)| *stage),
        stages,
        result,
        took,
    }
}

fn explained(target: Target, observation: &Observation, checks: SelfChecks) -> String {
    let sample = Sight::see(observation, checks);
    explain(&probe(target), observation, &sample)
}

#[test]
fn a_wrong_answer_is_explained_phase_by_phase() {
    let observation = observed(
        &[
            (Stage::Resolve, 1_204),
            (Stage::Connect, 310),
            (Stage::FirstByte, 12_000),
            (Stage::Body, 40),
            (Stage::Expect, 12),
        ],
        Err(Fault::Unexpected("status 500, expected 2xx".into())),
    );
    assert_eq!(
        explained(http(), &observation, SelfChecks::default()),
        "\
acme/api: http GET http://api.acme.svc/health

  resolve         1.20 ms
  connect         0.31 ms
  first-byte     12.00 ms
  body            0.04 ms
  expect          0.01 ms  <- status 500, expected 2xx
  in all         13.57 ms  of 5s

expected  status 200-299; the body contains `ok`; `db` is true
outcome   bad: status 500, expected 2xx
because   the target answered, and an answer is never void
"
    );
}

#[test]
fn silence_is_bad_or_void_as_the_self_checks_say() {
    let observation = observed(
        &[(Stage::Connect, 300), (Stage::FirstByte, 4_999_700)],
        Err(Fault::TimedOut),
    );
    let seeing = explained(http(), &observation, SelfChecks::default());
    assert!(
        seeing.contains("first-byte      5.000 s  <- timed out\n"),
        "{seeing}"
    );
    assert!(
        seeing.ends_with(
            "outcome   bad: timed out at first-byte\n\
             because   the target gave no answer, and nothing says that Holdfast itself is cut off\n"
        ),
        "{seeing}"
    );
    let checks = SelfChecks {
        api_server: None,
        dns: Some(false),
    };
    let blind = explained(http(), &observation, checks);
    assert!(
        blind.ends_with(
            "outcome   void: timed out\n\
             because   no self-check of Holdfast's own network passed in the same moment\n"
        ),
        "{blind}"
    );
}

#[test]
fn each_other_outcome_has_its_reason() {
    let heartbeat = || {
        Target::Heartbeat(HeartbeatTarget {
            max_age: Duration::from_secs(90),
        })
    };
    let source = Fault::Source {
        source: Name::literal("prometheus"),
        why: "status 502".into(),
    };
    let look = Finding::Look {
        latency: Duration::ZERO,
        value: Some(Value::whole(7)),
    };
    let counts = Finding::Counts(Split::whole(Tally { good: 9, bad: 1 }));
    let cases = [
        (
            http(),
            Ok(look),
            "good, value 7",
            "everything was as expected",
        ),
        (
            http(),
            Ok(counts),
            "good: 10 events, 1 of them bad",
            "the counters could be read",
        ),
        (
            http(),
            Err(source),
            "void: source prometheus failed: status 502",
            "says nothing about the tenant",
        ),
        (
            heartbeat(),
            Err(Fault::Empty),
            "void: the source has nothing to say",
            "beats come to the running daemon",
        ),
        (
            http(),
            Err(Fault::ResolverSilent("SERVFAIL".into())),
            "void: the resolver gave no answer: SERVFAIL",
            "nobody got as far as the target",
        ),
    ];
    for (target, result, outcome, because) in cases {
        let text = explained(target, &observed(&[], result), SelfChecks::default());
        assert!(text.contains(&format!("outcome   {outcome}\n")), "{text}");
        assert!(text.contains(because), "{text}");
    }
}

#[test]
fn an_unknown_probe_is_told_with_the_known_ones() {
    let config = config::load_text(
        "acme.yaml",
        "tenants:\n  acme:\n    probes:\n      api: { tcp: { host: 127.0.0.1, port: 80 } }\n",
    )
    .unwrap();
    let said = |id: &str| {
        find(&config.spec, &id.parse().unwrap())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        said("acme/shop"),
        "there is no probe acme/shop; the probes of acme are: api"
    );
    assert_eq!(said("beta/api"), "there is no tenant beta");
    assert!(find(&config.spec, &"acme/api".parse().unwrap()).is_ok());
}

#[tokio::test]
async fn a_real_look_is_explained_as_json() {
    let server = StandIn::new(|_| Act::status("404 Not Found")).await;
    let Target::Http(mut target) = http() else {
        panic!("it is http");
    };
    target.url = server.url("/");
    let probe = probe(Target::Http(target));
    let (observation, sample) = look(&probe).await;
    let json = json(&probe, &observation, &sample);
    assert_eq!(json["outcome"], "bad");
    assert_eq!(json["fault"], "status 404, expected 2xx");
    assert_eq!(json["stages"][0]["stage"], "connect");
    assert_eq!(json["reached"], "expect");
}
