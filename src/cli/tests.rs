//! The commands against a server on a real socket, with a whole afternoon behind it.

use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use insta::assert_snapshot;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ask::{Client, Refusal, read};
use super::{alerts, decisions, explain, rollback, rollouts, status};
use crate::domain::alert::episode;
use crate::http::fake;

/// Runs a story against a server, and ends the server with it.
async fn against<T>(story: impl AsyncFnOnce(Url) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let (server, _) = fake::afternoon().await.server();
    let stop = CancellationToken::new();
    let telling = async {
        let end = story(url).await;
        stop.cancel();
        end
    };
    let (served, end) = tokio::join!(server.serve(listener, stop.clone()), telling);
    served.unwrap();
    end
}

async fn get(url: Url, path: &str) -> Value {
    Client::new(&url).unwrap().get(path, &[]).await.unwrap()
}

/// A command line as it is typed.
#[derive(Debug, Parser)]
struct Line<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

async fn typed<A: clap::Args, F: Future<Output = anyhow::Result<ExitCode>>>(
    url: &Url,
    words: &[&str],
    run: impl FnOnce(A) -> F,
) -> anyhow::Result<ExitCode> {
    let server = ["holdfast", "--server", url.as_str()];
    let line: Line<A> = Line::try_parse_from(server.iter().chain(words)).unwrap();
    run(line.args).await
}

#[tokio::test]
async fn every_command_answers_in_both_forms() {
    against(async |url| {
        for form in ["table", "json"] {
            let decision = fake::rolled_back().id.to_string();
            let ok = |end: anyhow::Result<ExitCode>| assert_eq!(end.unwrap(), ExitCode::SUCCESS);
            let words = ["--output", form];
            ok(typed(&url, &words, status::run).await);
            ok(typed(&url, &words, alerts::run).await);
            ok(typed(&url, &["--output", form, "--state", "firing"], alerts::run).await);
            ok(typed(&url, &words, rollouts::run).await);
            ok(typed(&url, &["--output", form, "acme/api"], rollouts::run).await);
            ok(typed(&url, &["--output", form, "acme/api"], decisions::run).await);
            ok(typed(&url, &["--output", form, &decision], explain::run).await);
            ok(typed(&url, &["--output", form, &decision[..8]], explain::run).await);
            ok(typed(
                &url,
                &["--output", form, "acme/api", "--dry-run"],
                rollback::run,
            )
            .await);
            ok(typed(&url, &["--output", form, "acme/api"], rollback::run).await);
            let held = typed(&url, &["--output", form, "globex/web"], rollback::run).await;
            assert_eq!(held.unwrap(), ExitCode::FAILURE);
        }
    })
    .await;
}

#[tokio::test]
async fn a_no_is_said_in_the_daemons_words() {
    against(async |url| {
        let error = typed(&url, &["--state", "burning"], alerts::run).await.unwrap_err();
        assert_snapshot!(error, @"`state` is one of inactive, pending, firing, resolved, not `burning`");
        let error = typed(&url, &["acme/nothing"], rollback::run).await.unwrap_err();
        assert_snapshot!(error, @"there is no workload `acme/nothing` in the configuration");
        assert!(error.downcast_ref::<Refusal>().is_some());
        let error = typed(&url, &["0000"], explain::run).await.unwrap_err();
        assert_snapshot!(error, @"nothing recent has an id that begins with `0000`");
        let error = typed(&url, &["../../x"], explain::run).await.unwrap_err();
        assert_snapshot!(error, @"an id is 4 to 32 hexadecimal digits");
    })
    .await;
}

#[tokio::test]
async fn a_daemon_that_cannot_be_reached_is_said_to_be_just_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let error = typed(&url, &[], status::run).await.unwrap_err();
    let expected = format!(
        "no Holdfast answers at {url}: is `holdfast run` running there? --server or HOLDFAST_SERVER says where to ask"
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.chain().count() > 1, "the cause is there too");
}

#[tokio::test]
async fn the_status_reads_well() {
    let answer = against(async |url| get(url, "/status").await).await;
    assert_snapshot!(status::text(&read(&answer).unwrap()), @r"
    Holdfast 0.1.0 is ready; started 24 h ago
    It leads in term 7; cluster connected; store answers; 3 tasks
    Configuration 3fa94c1e77d0 in force since 2026-01-04T14:00:00Z

    TENANT  STANDING  PROMISES                    ALERTS    PROBES
    acme    met       2 met                       none      2 good, 1 none
    globex  critical  1 breached, 1 inconclusive  1 firing  1 bad, 1 good, 1 void
    ");
}

#[tokio::test]
async fn a_decision_is_explained_from_the_release_to_the_last_message() {
    let path = format!("/api/v1/decisions/{}", fake::rolled_back().id);
    let answer = against(async |url| get(url, &path).await).await;
    assert_snapshot!(explain::decision_story(read(&answer).unwrap()).unwrap(), @r"
    roll back to revision 7
    19.8% of requests fail since revision 8; revision 7 kept the promise for a day

    workload  acme/api (deployment/acme/api)
    trigger   acme/error-rate/traffic
    mode      act
    at        2026-01-05T14:06:55Z
    decision  c8bcbba02c2c87a44d9d654bd0eaa825

    What broke
      acme/error-rate/traffic: error_ratio 19.8% over 2m, must not be above 10% (1584 of 8000 events bad, 1 void, 2026-01-05T14:04:50Z to 2026-01-05T14:06:50Z)

    Revisions considered
      REVISION  PROVEN                CHOICE                        IMAGES
      8         never                 it is the one that is blamed  registry.example/acme/api:1.8.0
      7         2026-01-05T13:00:00Z  the target                    registry.example/acme/api:1.7.0
      6         2026-01-05T13:00:00Z  revision 7 was proven later   registry.example/acme/api:1.6.0

    Guards
      GUARD            RESULT  LOOKED AT
      blind            passed  all eyes are open
      too-few-samples  passed  8000 events since the rollout began
      cooldown         passed  no rollback in the last 1h
      budget-workload  passed  0 of 2 in 24h

    What changed
      revision 8 of deployment/acme/api, begun 2026-01-05T14:05:00Z, by kubectl-client-side-apply, because: ship the new basket
      images: registry.example/acme/api:1.8.0 (before: registry.example/acme/api:1.7.0)

    Rollback f68af19b59d016f5c81bb5a524775012: succeeded
      AT                    STAGE      WHAT
      2026-01-05T14:06:55Z  requested  by the decision
      2026-01-05T14:06:55Z  applying   patch conditional on version 4702
      2026-01-05T14:06:56Z  verifying  the patch was accepted; revision 7 is rolling out
      2026-01-05T14:07:10Z  verifying  revision 7 is rolled out
      2026-01-05T14:10:10Z  succeeded  0.2% of 11800 events since then were bad

    Who was told
      AT                    TO   STATE      LAST ANSWER  WHAT
      2026-01-05T14:10:10Z  ops  delivered  200 OK       acme/api: revision 7 helped
      2026-01-05T14:06:55Z  ops  delivered  200 OK       acme/api is rolled back to revision 7

    What to do now
      Service is restored. Fix the release and ship it as a new one; the bad revision is quarantined and is never a target. Applying the same manifest again brings it back: take it out of what deploys.
    ");
}

#[tokio::test]
async fn an_alert_is_explained() {
    let path = format!("/api/v1/alerts/{}", episode(&fake::broken(), fake::at(640)));
    let answer = against(async |url| get(url, &path).await).await;
    assert_snapshot!(explain::alert_story(read(&answer).unwrap()).unwrap(), @r"
    globex/response-time/api is firing, critical
    response-time of globex is out of bounds
    19.8% of 8000 events in 2m were bad; critical is above 10%

    began  2026-01-05T14:10:40Z
    alert  1c5fb4476c904f9e3291a785c0cbdcf8

    What happened
      AT                    MOVED              CAUSE   EVIDENCE
      2026-01-05T14:11:40Z  pending to firing  breach  globex/response-time/api: error_ratio 19.8% over 2m, must not be above 10% (1584 of 8000 events bad, 1 void, 2026-01-05T14:04:50Z to 2026-01-05T14:06:50Z)

    Who was told
      AT                    TO    STATE  LAST ANSWER                          WHAT
      2026-01-05T14:11:40Z  mail  due    429 Too Many Requests, again in 60s  response-time of globex is out of bounds

    What to do now
      https://runbooks.example/errors
    ");
}

#[tokio::test]
async fn a_plan_says_what_would_be_sent_and_lists_read_well() {
    let (plan, list, decided) = against(async |url| {
        let client = Client::new(&url).unwrap();
        let ask = serde_json::json!({"workload": "acme/api", "dry_run": true});
        let plan = client.post("/api/v1/rollbacks", &ask).await.unwrap();
        let list = client.get("/api/v1/rollouts", &[]).await.unwrap();
        (
            plan,
            list,
            client.get("/api/v1/decisions", &[]).await.unwrap(),
        )
    })
    .await;
    let plan = rollback::text(&read(&plan).unwrap()).unwrap();
    let (first, last) = (plan.lines().next().unwrap(), plan.lines().last().unwrap());
    assert_snapshot!(format!("{first}\n{last}"), @r"
    Plan; nothing was changed: roll back to revision 7
      one JSON patch of deployment/acme/api as it is now (resourceVersion and uid are preconditions): /spec/template and /metadata/annotations of revision 7; replicas, strategy and deadlines stay
    ");
    assert_snapshot!(rollouts::text(&read(&list).unwrap()), @r"
    WORKLOAD  REVISION     TRUST        OUTCOME  BEGAN                 BY                         IMAGES
    acme/api  9 (current)  proven       done     2026-01-05T14:06:56Z  holdfast                   registry.example/acme/api:1.7.0
    acme/api  8            quarantined  done     2026-01-05T14:05:00Z  kubectl-client-side-apply  registry.example/acme/api:1.8.0
    acme/api  7            proven       done     2026-01-04T14:00:00Z  kubectl-client-side-apply  registry.example/acme/api:1.7.0
    ");
    assert_snapshot!(decisions::text(read(&decided).unwrap()).unwrap(), @r"
    DECISION      AT                    WORKLOAD    VERDICT             TRIGGER                   WHY
    f056c2e1ab65  2026-01-05T14:11:45Z  globex/web  held: mode-observe  globex/response-time/api  mode is observe: revision 3 would have been put back
    c8bcbba02c2c  2026-01-05T14:06:55Z  acme/api    rolled back         acme/error-rate/traffic   19.8% of requests fail since revision 8; revision 7 kept the promise for a day
    ");
}
