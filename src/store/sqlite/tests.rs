//! What is true of this store alone; the rest is told by `store::conformance`.

use std::path::Path;

use sqlx::{ConnectOptions as _, SqliteConnection};

use super::*;
use crate::domain::alert::AlertState;
use crate::domain::change::Change;
use crate::domain::id::BatchId;
use crate::wire::fixture::{self, at};

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

async fn damage(path: &Path, statement: &'static str) {
    let mut connection = raw(path).await;
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn commit(store: &Sqlite, name: &str, changes: Vec<Change>) {
    let term = store.claim(Role::Judge, Term(0)).await.unwrap();
    let fence = Fence {
        role: Role::Judge,
        term,
    };
    let batch = Batch {
        id: BatchId(Digest::of(&[name])),
        at: at(0),
        changes,
    };
    store.commit(&batch, fence).await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_lives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/holdfast.db");
    let first = Sqlite::open(&path).await.unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    first.close().await;
    drop(first);
    Sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.db");
    Sqlite::open(&path).await.unwrap().close().await;
    damage(
        &path,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (99, 'later', 1, x'00', 0)",
    )
    .await;
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { migration: 99, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.db");
    std::fs::write(
        &path,
        "once upon a time, there was no database here at all".repeat(99),
    )
    .unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
    // A directory in the place of the file, and a file in the place of the directory.
    let place = directory.path().join("directory");
    std::fs::create_dir(&place).unwrap();
    let error = Sqlite::open(&place).await.unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
    let error = Sqlite::open(&path.join("holdfast.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_row_is_reported_and_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.db");
    let store = Sqlite::open(&path).await.unwrap();
    commit(&store, "all", fixture::one_of_each()).await;
    for statement in [
        "update phases set body = '{'",
        "update journal set body = '{\"change\":\"transition\",\"body\":{}}'",
        "update facts set body = replace(body, 'first-seen', 'dreamt')",
        "update deliveries set state = 'lost'",
        "update alerts set body = replace(body, 'critical', 'grave')",
        "update segments set block = substr(block, 1, length(block) - 1)",
    ] {
        damage(&path, statement).await;
    }
    let corrupt = |error: StoreError| matches!(error, StoreError::Corrupt { .. });
    assert!(corrupt(store.phases().await.unwrap_err()));
    assert!(corrupt(
        store.inbox(Role::Teller, Seq(0), 9).await.unwrap_err()
    ));
    assert!(corrupt(store.facts().await.unwrap_err()));
    let window = Window {
        before: None,
        limit: 9,
    };
    assert!(corrupt(store.deliveries(None, window).await.unwrap_err()));
    assert!(corrupt(store.alert(fixture::alert(1)).await.unwrap_err()));
    let query = SampleQuery {
        series: "acme/api".parse().unwrap(),
        from: at(-1),
        to: at(9),
        limit: 9,
    };
    assert!(corrupt(store.samples(&query).await.unwrap_err()));
    assert!(corrupt(store.compact().await.unwrap_err()));

    // Judging goes on: the alert begins anew from its next transition.
    let next = fixture::transition(1, AlertState::Firing, AlertState::Resolved, 60);
    commit(&store, "next", vec![Change::Transition(next)]).await;
    let (alert, transitions) = store.alert(fixture::alert(1)).await.unwrap().unwrap();
    assert_eq!(alert.state, AlertState::Resolved);
    assert_eq!(transitions.len(), 2);
}

#[tokio::test]
async fn a_commit_that_was_abandoned_halfway_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("holdfast.db"))
        .await
        .unwrap();
    let term = store.claim(Role::Judge, Term(0)).await.unwrap();
    let fence = Fence {
        role: Role::Judge,
        term,
    };
    let changes = (0..2000).map(|n| Change::Decision(fixture::decision(n, 0)));
    let batch = Batch {
        id: BatchId(Digest::of(&["long"])),
        at: at(0),
        changes: changes.collect(),
    };
    {
        let mut commit = Box::pin(store.commit(&batch, fence));
        // Polled a few times only: it is somewhere in the middle of its statements.
        for _ in 0..3 {
            assert!(futures::poll!(&mut commit).is_pending());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let window = Window {
        before: None,
        limit: 5000,
    };
    assert_eq!(store.decisions(None, window).await.unwrap(), []);
    store.commit(&batch, fence).await.unwrap();
    assert_eq!(store.decisions(None, window).await.unwrap().len(), 2000);
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_the_same_batch_later() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("holdfast.db"))
        .await
        .unwrap();
    let term = store.claim(Role::Judge, Term(0)).await.unwrap();
    let fence = Fence {
        role: Role::Judge,
        term,
    };
    let changes = (0..200).map(|n| Change::Decision(fixture::decision(n, 0)));
    let batch = Batch {
        id: BatchId(Digest::of(&["large"])),
        at: at(0),
        changes: changes.collect(),
    };
    let pages_max = async |statement: &'static str| {
        let mut writer = store.writer.lock().await;
        let connection = &mut writer.as_mut().unwrap().connection;
        sqlx::query(statement).execute(connection).await.unwrap();
    };
    pages_max("pragma max_page_count = 1").await; // Never less than there are.
    let refused = store.commit(&batch, fence).await;
    assert!(
        matches!(refused, Err(CommitError::Unavailable(_))),
        "{refused:?}"
    );
    let window = Window {
        before: None,
        limit: 500,
    };
    assert_eq!(store.decisions(None, window).await.unwrap(), []);
    pages_max("pragma max_page_count = 100000").await;
    store.commit(&batch, fence).await.unwrap();
    assert_eq!(store.decisions(None, window).await.unwrap().len(), 200);
}

#[tokio::test]
async fn a_compaction_that_is_cut_off_neither_loses_nor_doubles_a_sample() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.db");
    let mut store = Sqlite::open(&path).await.unwrap();
    let names: Vec<String> = (0..200).map(|n| format!("probe-{n}")).collect();
    let mut cut_off = 0;
    for round in 0..12_i64 {
        let keep = |name: &String| Change::Keep(fixture::sample(name, round * 1_200));
        commit(
            &store,
            &format!("{round}"),
            names.iter().map(keep).collect(),
        )
        .await;
        // Longer each time: it is cut off in ever later transactions.
        let within = Duration::from_millis(3 * round.unsigned_abs());
        if tokio::time::timeout(within, store.compact()).await.is_err() {
            cut_off += 1;
        }
        if round % 3 == 2 {
            drop(store);
            store = Sqlite::open(&path).await.unwrap();
        }
        for name in &names {
            let query = SampleQuery {
                series: format!("acme/{name}").parse().unwrap(),
                from: at(-1),
                to: at(100_000),
                limit: 100,
            };
            let found = store.samples(&query).await.unwrap();
            let expected: Vec<_> = (0..=round)
                .map(|round| fixture::sample(name, round * 1_200))
                .collect();
            assert_eq!(found, expected, "round {round}");
        }
    }
    assert_ne!(cut_off, 0);
    store.compact().await.unwrap();
    assert_eq!(store.compact().await.unwrap(), 0);
}

/// A hundred plain services for a day, looked at every 30 s, up to 1 ms off schedule, brought to rest every
/// half hour: the whole file counts, free pages and the live segments included.
#[tokio::test]
async fn a_day_of_looks_rests_in_eight_bytes_a_look() {
    const SERIES: u64 = 100;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.db");
    let store = Sqlite::open(&path).await.unwrap();
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let plain: Vec<_> = (0..SERIES)
        .map(|series| fixture::sample(&format!("probe-{series}"), 0))
        .collect();
    let mut looks = 0_u64;
    for half_hour in 0..48_i64 {
        let mut changes = Vec::new();
        for look in 0..60_i64 {
            for (series, sample) in (0..SERIES).zip(&plain) {
                let mut sample = sample.clone();
                let due = at(half_hour * 1800 + look * 30);
                let instant = due + Duration::from_micros(random(1_000) + series * 300_000);
                sample.span = crate::domain::time::Span::at(instant);
                sample.reading = crate::domain::sample::Reading::Look {
                    good: true,
                    latency: Some(Duration::from_micros(8_000 + random(16_000))),
                    value: None,
                    why: None,
                };
                changes.push(Change::Keep(sample));
                looks += 1;
            }
        }
        commit(&store, &format!("{half_hour}"), changes).await;
        store.compact().await.unwrap();
    }
    store.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes <= 8 * looks, "{bytes} bytes for {looks} looks");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("holdfast.db"))
        .await
        .unwrap();
    store.close().await;
    assert!(store.ping().await.is_err());
    assert!(store.claim(Role::Judge, Term(0)).await.is_err());
}
