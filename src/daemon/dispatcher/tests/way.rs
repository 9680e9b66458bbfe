//! The way of a message through the joinery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::daemon::dispatcher::{Dispatcher, Ended};
use crate::domain::change::{Batch, Change, Changes, Fence, Role, Seq};
use crate::domain::delivery::Notice;
use crate::domain::event::{Machine as _, TellerEvent};
use crate::domain::id::{BatchId, Digest, Name};
use crate::domain::outbox::RetrySchedule;
use crate::domain::rollback::Term;
use crate::domain::spec::{Address, Channel, Receiver, Route, Spec};
use crate::domain::teller::Teller;
use crate::notify::receiver::Receiver as LocalReceiver;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::telemetry::metrics::Metrics;

/// In real time, because a socket is involved: the whole way from a committed notice, through the
/// teller's inbox and the outbox, to a receiver that speaks HTTP.
#[tokio::test]
async fn a_committed_notice_reaches_a_webhook() {
    let server = LocalReceiver::http((200, &[], "ok")).await;
    let hook: Name = "hook".parse().unwrap();
    let spec = Arc::new(Spec {
        receivers: BTreeMap::from([(
            hook.clone(),
            Arc::new(Receiver {
                name: hook.clone(),
                channel: Channel::Webhook {
                    url: Address::Plain(server.url.clone()),
                    secret: None,
                },
            }),
        )]),
        route: Route {
            receivers: vec![hook],
            ..Route::default()
        },
        ..Spec::default()
    });
    let clock = Clock::system();
    let store = Arc::new(Memory::new());
    let term = store.claim(Role::Teller, Term(1)).await.unwrap();
    let steward = store.claim(Role::Steward, Term(1)).await.unwrap();
    let hint = Arc::new(Notify::new());
    let dispatcher = Dispatcher {
        store: Arc::clone(&store) as Arc<dyn Store>,
        term,
        clock: clock.clone(),
        metrics: Arc::new(Metrics::register(&mut Registry::default())),
        specs: watch::Sender::new(Arc::clone(&spec)).subscribe(),
        hint: Arc::clone(&hint),
        build: Arc::new(crate::notify::build),
        schedule: RetrySchedule::default(),
    };
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(dispatcher.run(stop.clone()));

    let commit = |role, term, name: &'static str, changes| {
        let at = clock.now();
        let id = BatchId(Digest::of(&[name]));
        let store = Arc::clone(&store);
        async move {
            let batch = Batch { id, at, changes };
            store.commit(&batch, Fence { role, term }).await.unwrap();
        }
    };
    let message = crate::notify::message::tests::firing();
    let notice = Change::Notice(Notice {
        key: message.thread,
        at: clock.now(),
        message,
    });
    commit(Role::Steward, steward, "notice", vec![notice]).await;
    let mut teller = Teller::new(term, store.told().await.unwrap());
    let mut changes = Changes::default();
    teller.step(&TellerEvent::Spec(spec), clock.now(), &mut changes);
    let inbox = store.inbox(Role::Teller, Seq(0), 10).await.unwrap();
    for post in inbox {
        let event = TellerEvent::Post(Box::new(post));
        teller.step(&event, clock.now(), &mut changes);
    }
    commit(Role::Teller, term, "deliveries", changes.list).await;
    hint.notify_one();

    let deadline = Instant::now() + Duration::from_secs(10);
    while !store.due().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the delivery was not recorded");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), Ended::Stopped);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].body.contains("\"status\":\"firing\""),
        "{}",
        seen[0].body
    );
    assert!(
        store
            .inbox(Role::Teller, Seq(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
}
