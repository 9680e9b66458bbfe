//! The story of forgetting.

use std::time::Duration;

use super::{ALL, Place, commit, fixture, keep, seen};
use crate::domain::alert::AlertState;
use crate::domain::change::Change;
use crate::domain::delivery::{DeliveryState, Status};
use crate::domain::rollback::Stage;
use crate::store::{AlertFilter, Retention};
use crate::wire::fixture::at;

pub async fn nothing_open_is_forgotten(place: Place) {
    let store = place.open().await;
    use AlertState::{Firing, Inactive, Pending, Resolved};
    let over = fixture::delivery("hook", 3, 1, 3);
    let mut withdrawn = fixture::petition(3, 3);
    withdrawn.standing = false;
    let mut resolved = fixture::told("hook", 3, 3);
    resolved.status = Status::Resolved;
    let mut changes = keep("api", [0, 36_000]);
    changes.extend([
        Change::Transition(fixture::transition(1, Inactive, Pending, 1)),
        Change::Transition(fixture::transition(2, Pending, Firing, 2)),
        Change::Transition(fixture::transition(3, Firing, Resolved, 3)),
        Change::Deliver(fixture::delivery("pager", 2, 1, 2)),
        Change::Deliver(over.clone()),
        Change::Attempt(fixture::attempt(&over, 1, DeliveryState::Delivered, 4)),
        Change::Rollback(fixture::rollback(1, Stage::Verifying { since: None })),
        Change::Rollback(fixture::rollback(2, Stage::Succeeded)),
        Change::Decision(fixture::decision(1, 1)),
        Change::Decision(fixture::decision(2, 2)),
        Change::Petition(fixture::petition(1, 1)),
        Change::Petition(withdrawn),
        Change::Told(fixture::told("pager", 2, 2)),
        Change::Told(resolved),
        Change::Image(fixture::image("api", "shape", 0)),
    ]);
    commit(&store, "all", changes).await;
    let retention = Retention {
        samples: Duration::from_secs(7200),
        alerts: Duration::from_secs(3600),
    };
    assert_eq!(store.retain(retention, at(3600)).await.unwrap(), 0);
    store.compact().await.unwrap();
    let gone = store.retain(retention, at(36_001)).await.unwrap();
    assert_ne!(gone, 0);

    let store = place.reopen(store).await;
    let states = store.alerts(&AlertFilter::default(), ALL).await.unwrap();
    let states: Vec<AlertState> = states.iter().map(|alert| alert.state).collect();
    assert_eq!(states, [Firing, Pending]);
    assert_eq!(store.alert(fixture::alert(3)).await.unwrap(), None);
    let rows = store.deliveries(None, ALL).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0.state, DeliveryState::Due);
    let rows = store.rollbacks(false, ALL).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].stage.terminal());
    // The decision behind an open rollback stays with it.
    let decisions = store.decisions(None, ALL).await.unwrap();
    assert_eq!(decisions, [fixture::decision(1, 1)]);
    assert_eq!(store.petitions().await.unwrap().len(), 1);
    assert_eq!(store.told().await.unwrap().len(), 1);
    let kept = seen(&store, "api", -1, 40_000).await;
    assert_eq!(kept, [fixture::sample("api", 36_000)]);
    assert_eq!(store.retain(retention, at(36_001)).await.unwrap(), 0);
}
