use std::sync::Mutex;

use prometheus_client::registry::Registry;

use super::*;
use crate::domain::alert::AlertState;
use crate::domain::change::Role;
use crate::domain::rollback::Term;
use crate::store::memory::Memory;
use crate::wire::fixture;

/// What a machine was told, in order.
type Heard = Arc<Mutex<Vec<&'static str>>>;

struct Listener(Heard);

impl Machine for Listener {
    type Event = &'static str;

    fn step(&mut self, event: &&'static str, _now: Timestamp, _out: &mut Changes) {
        self.0.lock().unwrap().push(event);
    }

    fn wake(&mut self, _now: Timestamp, _out: &mut Changes) {}

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_before_the_start_comes_before_the_inbox() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let term = store.claim(Role::Judge, Term(0)).await.unwrap();
    let judge = Fence {
        role: Role::Judge,
        term,
    };
    let fired = fixture::transition(1, AlertState::Inactive, AlertState::Firing, 5);
    let batch = Batch {
        id: BatchId(Digest::of(&[b"a post that nobody has read"])),
        at: fixture::at(5),
        changes: vec![Change::Transition(fired)],
    };
    store.commit(&batch, judge).await.unwrap();

    let heard = Heard::default();
    let (port, inputs) = Port::new();
    port.send("configuration").await;
    port.send("and more").await;
    let term = store.claim(Role::Teller, Term(0)).await.unwrap();
    let driver = Driver {
        machine: Listener(heard.clone()),
        store,
        fence: Fence {
            role: Role::Teller,
            term,
        },
        clock: Clock::system(),
        metrics: Arc::new(Metrics::register(&mut Registry::default())),
        post: |_| "post",
        committed: Arc::new(|_| {}),
        needs: None,
        feed: None,
    };
    let stop = CancellationToken::new();
    let stopping = async {
        while heard.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(driver.run(port, inputs, stop.clone()), stopping);
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(
        *heard.lock().unwrap(),
        ["configuration", "and more", "post"]
    );
}
