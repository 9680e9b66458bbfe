//! Processes live, freeze and die as they are told, and never outlive their owner.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::support::assets;
use crate::support::configmap::ConfigMap;
use crate::support::controlplane::random_hex;
use crate::support::daemon::{Daemon, DaemonPlan};
use crate::support::eventually::eventually;
use crate::support::process::{Process, Signal, free_ports};

const SOON: Duration = Duration::from_secs(30);

fn shell(script: &str) -> (Process, PathBuf) {
    let log = assets::run_folder().join(format!("shell-{}.log", random_hex()));
    let arguments = ["-c".to_owned(), script.to_owned()];
    let process = Process::start("shell", Path::new("/bin/sh"), &arguments, &[], &log).unwrap();
    (process, log)
}

fn state_of(id: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    text.rsplit_once(") ")
        .map_or("gone", |(_, rest)| &rest[..1])
        .to_owned()
}

#[tokio::test]
async fn a_process_is_frozen_thawed_asked_to_end_and_its_code_is_known() {
    let (mut process, log) = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    eventually("it runs", SOON, || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if text == "up\n" { Ok(()) } else { Err(text) }
    })
    .await;
    process.freeze().await;
    assert_eq!(state_of(process.id()), "T");
    process.thaw();
    process.signal(Signal::Terminate);
    assert_eq!(process.ended(SOON).await, Some(7));
}

#[tokio::test]
async fn a_process_is_gone_when_its_owner_is_even_if_frozen() {
    let (mut process, _log) = shell("exec sleep 1000");
    let id = process.id();
    process.freeze().await;
    drop(process);
    assert_eq!(state_of(id), "gone");
}

#[tokio::test]
async fn a_killed_process_says_so() {
    let (mut process, _log) = shell("exec sleep 1000");
    process.kill().await;
    assert_eq!(process.end_code(), Some(128 + 9));
}

/// Here etcd plays the daemon: it has `/readyz`, JSON, metrics and a store that survives a crash, so the
/// wrapper is proved by something that is not the product.
fn stand_in(folder: &Path) -> DaemonPlan {
    let [port, peer] = free_ports();
    let etcd = assets::control_plane().unwrap().join("etcd");
    let script = format!(
        "#!/bin/sh\ntest \"$1 $2\" = 'run --config' || exit 64\nexec '{}' --unsafe-no-fsync \
         --data-dir='{}' --listen-client-urls=http://127.0.0.1:{port} \
         --advertise-client-urls=http://127.0.0.1:{port} --listen-peer-urls=http://127.0.0.1:{peer} \
         --initial-advertise-peer-urls=http://127.0.0.1:{peer} \
         --initial-cluster=default=http://127.0.0.1:{peer}\n",
        etcd.display(),
        folder.join("data").display(),
    );
    DaemonPlan {
        binary: executable(folder, &script),
        ..DaemonPlan::new(folder, port)
    }
}

fn executable(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("stand-in");
    std::fs::write(&path, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    path
}

#[tokio::test]
async fn a_daemon_is_frozen_thawed_killed_and_started_again_on_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(stand_in(folder.path())).await;
    let put = json!({ "key": "a2V5", "value": "dmFsdWU=" });
    daemon.post_json("/v3/kv/put", &put).await.unwrap();
    assert_eq!(
        daemon.metric("etcd_server_has_leader", &[]).await,
        Some(1.0)
    );

    daemon.freeze().await;
    daemon.get_json("/version").await.unwrap_err();
    daemon.thaw();
    let version = |json: &serde_json::Value| Some(json["etcdserver"].as_str()?.to_owned());
    let found = daemon
        .wait_for("it has thawed", "/version", SOON, version)
        .await;
    assert!(found.starts_with("3."), "{found}");

    daemon.kill_9().await;
    assert_eq!(daemon.end_code(), Some(128 + 9));
    daemon.get_json("/version").await.unwrap_err();
    daemon.restart().await;
    let stored = daemon
        .post_json("/v3/kv/range", &json!({ "key": "a2V5" }))
        .await
        .unwrap();
    assert_eq!(stored["kvs"][0]["value"], "dmFsdWU=");
    daemon.stop().await;
    assert!(daemon.log_end().contains("etcd"));
}

#[tokio::test]
#[should_panic(expected = "holdfast ended with 64")]
async fn a_daemon_that_ends_at_start_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = DaemonPlan::new(folder.path(), free_ports::<1>()[0]);
    plan.binary = executable(folder.path(), "#!/bin/sh\nexit 64\n");
    Daemon::start(plan).await;
}

#[test]
fn a_config_map_changes_all_at_once_and_drops_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("a.yaml", "one"), ("b.yaml", "two")];
    let mut mounted = ConfigMap::mount(&folder.path().join("config"), &files);
    let read = |name: &str| std::fs::read_to_string(mounted.path().join(name)).ok();
    assert_eq!(
        (read("a.yaml").as_deref(), read("b.yaml").as_deref()),
        (Some("one"), Some("two"))
    );
    mounted.replace(&[("a.yaml", "three"), ("c.yaml", "four")]);
    let read = |name: &str| std::fs::read_to_string(mounted.path().join(name)).ok();
    assert_eq!(
        (read("a.yaml").as_deref(), read("c.yaml").as_deref()),
        (Some("three"), Some("four"))
    );
    assert_eq!(read("b.yaml"), None);
    let names = std::fs::read_dir(mounted.path()).unwrap().flatten();
    let names: std::collections::BTreeSet<_> = names.map(|entry| entry.file_name()).collect();
    assert_eq!(
        names,
        ["..2", "..data", "a.yaml", "c.yaml"].map(Into::into).into()
    );
}
