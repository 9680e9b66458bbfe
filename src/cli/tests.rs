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
    assert_snapshot!(status::text(&read(&answer).unwrap()), @"");
}

#[tokio::test]
async fn a_decision_is_explained_from_the_release_to_the_last_message() {
    let path = format!("/api/v1/decisions/{}", fake::rolled_back().id);
    let answer = against(async |url| get(url, &path).await).await;
    assert_snapshot!(explain::decision_story(read(&answer).unwrap()).unwrap(), @"");
}

#[tokio::test]
async fn an_alert_is_explained() {
    let path = format!("/api/v1/alerts/{}", episode(&fake::broken(), fake::at(640)));
    let answer = against(async |url| get(url, &path).await).await;
    assert_snapshot!(explain::alert_story(read(&answer).unwrap()).unwrap(), @"");
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
    assert_snapshot!(format!("{first}\n{last}"), @"");
    assert_snapshot!(rollouts::text(&read(&list).unwrap()), @"");
    assert_snapshot!(decisions::text(read(&decided).unwrap()).unwrap(), @"");
}
