//! What is true of one store is true of all: each story below runs against every backend.
//!
//! Reopening drops the store without closing it, as a kill does: whatever was committed must be there.

mod past;
mod retention;

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use super::{AlertFilter, CommitError, SampleQuery, Store, Window};
use crate::domain::alert::{AlertState, Cause};
use crate::domain::change::{Batch, Change, Fence, Post, Role, Seq};
use crate::domain::decision::{Hold, Verdict};
use crate::domain::delivery::{DeliveryState, Status};
use crate::domain::fact::What;
use crate::domain::id::{BatchId, Digest};
use crate::domain::objective::Severity;
use crate::domain::rollback::{Stage, Term};
use crate::domain::sample::Sample;
use crate::wire::fixture::{self, at};

use self::past::{
    a_needed_history_is_the_image_and_what_came_after_it, compaction_changes_no_answer,
    every_kind_of_sample_comes_back, samples_are_found_by_window_and_newest_first_when_limited,
};
use self::retention::nothing_open_is_forgotten;

/// Where a store keeps its things: it can be opened again.
enum Place {
    Memory(Arc<Memory>),
    Sqlite(tempfile::TempDir),
}

impl Place {
    fn memory() -> Self {
        Self::Memory(Arc::new(Memory::new()))
    }

    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(memory) => Arc::clone(memory) as Arc<dyn Store>,
            Self::Sqlite(directory) => super::open(&directory.path().join("holdfast.db"))
                .await
                .unwrap(),
        }
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.open().await
    }
}

macro_rules! stories {
    ($($story:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::Place::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::Place::sqlite()).await;
            })*
        }
    };
}

stories! {
    a_stale_owner_cannot_commit
    a_batch_is_committed_once
    posts_stand_in_the_inbox_of_their_reader_until_they_are_read
    what_machines_go_on_from_is_there_after_a_kill
    a_needed_history_is_the_image_and_what_came_after_it
    samples_are_found_by_window_and_newest_first_when_limited
    every_kind_of_sample_comes_back
    an_alert_is_the_fold_of_its_transitions
    alerts_are_filtered_and_paged
    deliveries_are_due_in_order_and_carry_their_attempts
    decisions_and_rollbacks_are_listed_newest_first
    nothing_open_is_forgotten
    compaction_changes_no_answer
    a_store_that_is_open_answers_a_ping
}

async fn lead(store: &Arc<dyn Store>, role: Role) -> Fence {
    let term = store.claim(role, Term(0)).await.unwrap();
    Fence { role, term }
}

fn batch(name: &str, changes: Vec<Change>) -> Batch {
    Batch {
        id: BatchId(Digest::of(&[name])),
        at: at(100),
        changes,
    }
}

/// Commits as the judge in a new term.
async fn commit(store: &Arc<dyn Store>, name: &str, changes: Vec<Change>) -> Seq {
    let fence = lead(store, Role::Judge).await;
    store.commit(&batch(name, changes), fence).await.unwrap()
}

const ALL: Window = Window {
    before: None,
    limit: 100,
};

fn page(before: i64, limit: usize) -> Window {
    Window {
        before: Some(at(before)),
        limit,
    }
}

async fn seen(store: &Arc<dyn Store>, series: &str, from: i64, to: i64) -> Vec<Sample> {
    let query = SampleQuery {
        series: format!("acme/{series}").parse().unwrap(),
        from: at(from),
        to: at(to),
        limit: 1_000_000,
    };
    store.samples(&query).await.unwrap()
}

fn keep(series: &str, seconds: impl IntoIterator<Item = i64>) -> Vec<Change> {
    let sample = |second| Change::Keep(fixture::sample(series, second));
    seconds.into_iter().map(sample).collect()
}

async fn a_stale_owner_cannot_commit(place: Place) {
    let store = place.open().await;
    let old = lead(&store, Role::Steward).await;
    let new = lead(&store, Role::Steward).await;
    assert!(new.term > old.term);
    let change = || vec![Change::Decision(fixture::decision(1, 1))];

    let refused = store.commit(&batch("old", change()), old).await;
    assert!(matches!(refused, Err(CommitError::Fenced)), "{refused:?}");
    assert_eq!(store.decisions(None, ALL).await.unwrap(), []);
    store.commit(&batch("new", change()), new).await.unwrap();

    // A lease may be far ahead of the store; whoever commits with its term fences the older ones.
    let lease = store.claim(Role::Steward, Term(40)).await.unwrap();
    assert_eq!(lease, Term(40));
    let ahead = Fence {
        role: Role::Steward,
        term: Term(50),
    };
    store.commit(&batch("ahead", vec![]), ahead).await.unwrap();
    let store = place.reopen(store).await;
    let behind = Fence {
        role: Role::Steward,
        term: lease,
    };
    let refused = store.commit(&batch("behind", vec![]), behind).await;
    assert!(matches!(refused, Err(CommitError::Fenced)), "{refused:?}");
    // Other roles have terms of their own.
    assert_eq!(lead(&store, Role::Judge).await.term, Term(1));
    assert_eq!(lead(&store, Role::Steward).await.term, Term(51));
}

async fn a_batch_is_committed_once(place: Place) {
    let store = place.open().await;
    let fence = lead(&store, Role::Judge).await;
    let mut changes = keep("api", [1]);
    changes.push(Change::Notice(fixture::notice(1, 1)));
    let first = batch("first", changes);
    let seq = store.commit(&first, fence).await.unwrap();
    let second = batch("second", vec![Change::Notice(fixture::notice(2, 2))]);
    let later = store.commit(&second, fence).await.unwrap();
    assert!(later > seq);

    assert_eq!(store.commit(&first, fence).await.unwrap(), seq);
    let store = place.reopen(store).await;
    assert_eq!(store.commit(&first, fence).await.unwrap(), seq);
    assert_eq!(seen(&store, "api", 0, 9).await.len(), 1);
    let inbox = store.inbox(Role::Teller, Seq(0), 10).await.unwrap();
    assert_eq!(inbox.len(), 2);
}

async fn posts_stand_in_the_inbox_of_their_reader_until_they_are_read(place: Place) {
    let store = place.open().await;
    let fence = lead(&store, Role::Judge).await;
    let changes = fixture::one_of_each();
    let all = batch("all", changes.clone());
    let last = store.commit(&all, fence).await.unwrap();
    let store = place.reopen(store).await;
    for role in Role::ALL {
        let expected: Vec<&Change> = changes
            .iter()
            .filter(|change| change.audience().contains(&role))
            .collect();
        let posts = store.inbox(role, Seq(0), 100).await.unwrap();
        let found: Vec<&Change> = posts.iter().map(|post| &post.change).collect();
        assert_eq!(found, expected, "{role:?}");
        assert!(posts.is_sorted_by_key(|post| post.seq));
        assert!(
            posts
                .iter()
                .all(|post| post.at == at(100) && post.seq <= last)
        );
    }

    let posts = store.inbox(Role::Teller, Seq(0), 100).await.unwrap();
    let [first, second]: [Post; 2] = posts.try_into().unwrap();
    let limited = store.inbox(Role::Teller, Seq(0), 1).await.unwrap();
    assert_eq!(limited, from_ref(&first));
    let rest = store.inbox(Role::Teller, first.seq, 100).await.unwrap();
    assert_eq!(rest, from_ref(&second));

    assert_eq!(store.cursor(Role::Teller).await.unwrap(), Seq(0));
    let teller = lead(&store, Role::Teller).await;
    let read = |seq| {
        let role = Role::Teller;
        vec![Change::Read { role, seq }]
    };
    let answer = store.commit(&batch("read", read(second.seq)), teller).await;
    assert_eq!(answer.unwrap(), last, "reading posts nothing");
    // A cursor never goes back.
    store
        .commit(&batch("back", read(first.seq)), teller)
        .await
        .unwrap();
    let store = place.reopen(store).await;
    assert_eq!(store.cursor(Role::Teller).await.unwrap(), second.seq);
    assert_eq!(store.cursor(Role::Steward).await.unwrap(), Seq(0));
    assert_eq!(
        store.inbox(Role::Steward, Seq(0), 100).await.unwrap().len(),
        8
    );
    // What was read is gone, and its places are never given away again.
    let next = commit(&store, "next", vec![Change::Notice(fixture::notice(3, 3))]).await;
    assert!(next > last);
    let inbox = store.inbox(Role::Teller, second.seq, 100).await.unwrap();
    assert_eq!(inbox.len(), 1);
}

async fn what_machines_go_on_from_is_there_after_a_kill(place: Place) {
    let store = place.open().await;
    let pending = fixture::phase(1, AlertState::Pending, 1);
    let firing = fixture::phase(1, AlertState::Firing, 30);
    let other = fixture::phase(2, AlertState::Pending, 2);
    let mut withdrawn = fixture::petition(2, 6);
    withdrawn.standing = false;
    let mut resolved = fixture::told("hook", 1, 8);
    resolved.status = Status::Resolved;
    let mut changes = vec![
        Change::Phase(pending),
        Change::Phase(other),
        Change::Phase(firing.clone()),
        Change::Forget(fixture::key(2)),
        Change::Petition(fixture::petition(1, 5)),
        Change::Petition(fixture::petition(2, 5)),
        Change::Petition(withdrawn),
        Change::Told(fixture::told("pager", 1, 7)),
        Change::Told(fixture::told("hook", 1, 7)),
        Change::Told(resolved),
        Change::Rollback(fixture::rollback(1, Stage::Requested)),
    ];
    let facts = fixture::facts(1);
    changes.extend(facts.iter().cloned().map(Change::Fact));
    let mut baked = facts[4].clone();
    baked.at = at(60);
    baked.what = What::Baked {
        template: fixture::template(1),
        kept: Duration::from_secs(120),
    };
    changes.push(Change::Fact(baked.clone()));
    commit(&store, "all", changes).await;
    let later = fixture::rollback(1, fixture::stages()[1].clone());
    commit(&store, "later", vec![Change::Rollback(later.clone())]).await;

    let store = place.reopen(store).await;
    assert_eq!(store.phases().await.unwrap(), [firing]);
    assert_eq!(store.petitions().await.unwrap(), [fixture::petition(1, 5)]);
    assert_eq!(store.told().await.unwrap(), [fixture::told("pager", 1, 7)]);
    assert_eq!(store.rollbacks(true, ALL).await.unwrap(), [later]);
    let mut expected = facts;
    expected.remove(4);
    expected.push(baked);
    assert_eq!(store.facts().await.unwrap(), expected);
}

async fn an_alert_is_the_fold_of_its_transitions(place: Place) {
    let store = place.open().await;
    use AlertState::{Firing, Inactive, Pending, Resolved};
    let mut resolved = fixture::transition(1, Firing, Resolved, 90);
    resolved.cause = Cause::Recovered;
    let life = [
        fixture::transition(1, Inactive, Pending, 1),
        fixture::transition(1, Pending, Firing, 30),
        resolved,
    ];
    let phase = fixture::phase(1, Firing, 30);
    let acknowledged = Change::Acknowledged {
        alert: fixture::alert(1),
        by: "grace".to_owned(),
        at: at(40),
    };
    let [pending, firing, end] = life.clone().map(Change::Transition);
    commit(&store, "pending", vec![pending]).await;
    commit(
        &store,
        "firing",
        vec![firing, Change::Phase(phase), acknowledged],
    )
    .await;
    let store = place.reopen(store).await;
    let (alert, _) = store.alert(fixture::alert(1)).await.unwrap().unwrap();
    assert_eq!((alert.state, alert.at), (Firing, at(40)));
    let phases = store.phases().await.unwrap();
    let by = Some(("grace".to_owned(), at(40)));
    assert_eq!(phases[0].acknowledged, by);

    commit(&store, "end", vec![end]).await;
    let (alert, transitions) = store.alert(fixture::alert(1)).await.unwrap().unwrap();
    assert_eq!(transitions, life);
    assert_eq!(alert.state, Resolved);
    assert_eq!((alert.fired, alert.ended), (Some(at(30)), Some(at(90))));
    assert_eq!((alert.cause, alert.acknowledged), (Cause::Recovered, by));
    assert_eq!(store.alert(fixture::alert(2)).await.unwrap(), None);
}

async fn alerts_are_filtered_and_paged(place: Place) {
    let store = place.open().await;
    let mut changes = Vec::new();
    for number in 1..=5_u64 {
        let mut transition = fixture::transition(
            number,
            AlertState::Inactive,
            AlertState::Pending,
            i64::try_from(number).unwrap(),
        );
        if number == 4 {
            transition.to = AlertState::Firing;
            transition.severity = Severity::Warning;
        }
        if number == 5 {
            transition.key.tenant = crate::domain::id::TenantId("beta".parse().unwrap());
        }
        changes.push(Change::Transition(transition));
    }
    commit(&store, "alerts", changes).await;
    let store = place.reopen(store).await;
    let ids = async |filter: AlertFilter, window| -> Vec<String> {
        let alerts = store.alerts(&filter, window).await.unwrap();
        alerts
            .iter()
            .map(|alert| alert.key.objective.to_string().split_off("errors-".len()))
            .collect()
    };
    let any = AlertFilter::default;
    assert_eq!(ids(any(), ALL).await, ["5", "4", "3", "2", "1"]);
    let first = Window {
        before: None,
        limit: 2,
    };
    assert_eq!(ids(any(), first).await, ["5", "4"]);
    assert_eq!(ids(any(), page(4, 2)).await, ["3", "2"]);
    let tenant = Some(crate::domain::id::TenantId("acme".parse().unwrap()));
    let acme = AlertFilter { tenant, ..any() };
    assert_eq!(ids(acme, ALL).await, ["4", "3", "2", "1"]);
    let state = Some(AlertState::Firing);
    assert_eq!(ids(AlertFilter { state, ..any() }, ALL).await, ["4"]);
    let severity = Some(Severity::Critical);
    let critical = AlertFilter { severity, ..any() };
    assert_eq!(ids(critical, ALL).await, ["5", "3", "2", "1"]);
    let since = Some(at(4));
    assert_eq!(ids(AlertFilter { since, ..any() }, ALL).await, ["5", "4"]);
}

async fn deliveries_are_due_in_order_and_carry_their_attempts(place: Place) {
    let store = place.open().await;
    let first = fixture::delivery("pager", 1, 1, 1);
    let second = fixture::delivery("pager", 1, 2, 2);
    let other = fixture::delivery("hook", 2, 1, 3);
    let deliver = |delivery: &crate::domain::delivery::Delivery| Change::Deliver(delivery.clone());
    let changes = vec![deliver(&second), deliver(&first), deliver(&other)];
    commit(&store, "outbox", changes).await;
    let due = store.due().await.unwrap();
    assert_eq!(due, [other.clone(), first.clone(), second.clone()]);

    let failed = fixture::attempt(&first, 1, DeliveryState::Due, 5);
    let taken = fixture::attempt(&first, 2, DeliveryState::Delivered, 6);
    commit(&store, "failed", vec![Change::Attempt(failed.clone())]).await;
    let store = place.reopen(store).await;
    let due = store.due().await.unwrap();
    assert_eq!((due[1].attempts, due[1].due), (1, at(35)));
    // What is inserted again (the same telling after a crash) does not start anew.
    let changes = vec![Change::Attempt(taken.clone()), deliver(&first)];
    commit(&store, "taken", changes).await;
    assert_eq!(store.due().await.unwrap(), [other, second.clone()]);

    let rows = store.deliveries(None, ALL).await.unwrap();
    let created: Vec<_> = rows.iter().map(|(row, _)| row.created).collect();
    assert_eq!(created, [at(3), at(2), at(1)]);
    let thread = Some(fixture::alert(1).0);
    let rows = store.deliveries(thread, page(2, 9)).await.unwrap();
    assert_eq!(rows.len(), 1);
    let (row, attempts) = &rows[0];
    assert_eq!((row.state, row.attempts), (DeliveryState::Delivered, 2));
    assert_eq!(*attempts, [failed, taken]);
}

async fn decisions_and_rollbacks_are_listed_newest_first(place: Place) {
    let store = place.open().await;
    let mut held = fixture::decision(2, 2);
    held.workload = "beta/web".parse().unwrap();
    held.verdict = Verdict::Hold(Hold::Frozen);
    let act = fixture::decision(1, 1);
    let open = fixture::rollback(1, Stage::Verifying { since: None });
    let over = fixture::rollback(2, Stage::Succeeded);
    let changes = vec![
        Change::Decision(act.clone()),
        Change::Decision(held.clone()),
        Change::Rollback(open.clone()),
        Change::Rollback(over.clone()),
    ];
    commit(&store, "steward", changes).await;
    let store = place.reopen(store).await;
    let all = store.decisions(None, ALL).await.unwrap();
    assert_eq!(all, [held.clone(), act.clone()]);
    let of = store.decisions(Some(&act.workload), ALL).await.unwrap();
    assert_eq!(of, from_ref(&act));
    let older = store.decisions(None, page(2, 9)).await.unwrap();
    assert_eq!(older, from_ref(&act));
    assert_eq!(store.decision(held.id).await.unwrap(), Some(held));
    assert_eq!(
        store.decision(fixture::decision(9, 0).id).await.unwrap(),
        None
    );

    let rows = store.rollbacks(false, ALL).await.unwrap();
    assert_eq!(rows, [over, open.clone()]);
    assert_eq!(store.rollbacks(true, ALL).await.unwrap(), from_ref(&open));
    assert_eq!(store.rollback(open.id).await.unwrap(), Some(open));
    let nobody = fixture::rollout_id(9).rollback();
    assert_eq!(store.rollback(nobody).await.unwrap(), None);
}

async fn a_store_that_is_open_answers_a_ping(place: Place) {
    let store = place.open().await;
    store.ping().await.unwrap();
    commit(&store, "some", keep("api", [1])).await;
    store.close().await;
    let store = place.reopen(store).await;
    store.ping().await.unwrap();
    assert_eq!(seen(&store, "api", 0, 1).await.len(), 1);
}
