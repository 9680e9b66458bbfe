//! The loop with a machine that only notes what it was given.

use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::registry::Registry;

use super::*;
use crate::domain::alert::AlertState;
use crate::domain::change::Role;
use crate::domain::rollback::Term;
use crate::store::memory::Memory;
use crate::wire::fixture;

/// Notes the order of things; a command is a notice to people.
#[derive(Debug, Default)]
struct Notes(Vec<&'static str>);

enum Noted {
    Configuration,
    Command,
    Post(Seq),
}

impl Machine for Notes {
    type Event = Noted;

    fn step(&mut self, event: &Noted, _now: Timestamp, out: &mut Changes) {
        match event {
            Noted::Configuration => self.0.push("configuration"),
            Noted::Command => {
                out.push(Change::Notice(fixture::notice(1, 1)));
                out.reply = Some(Reply::Done);
            }
            Noted::Post(seq) => {
                self.0.push("post");
                let role = Role::Teller;
                out.push(Change::Read { role, seq: *seq });
            }
        }
    }

    fn wake(&mut self, _now: Timestamp, _out: &mut Changes) {}

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }
}

fn driver(store: &Arc<Memory>, commits: &Arc<AtomicUsize>) -> Driver<Notes> {
    let commits = commits.clone();
    Driver {
        machine: Notes::default(),
        store: store.clone(),
        fence: Fence {
            role: Role::Teller,
            term: Term(1),
        },
        clock: Clock::set(fixture::at(10)),
        metrics: Arc::new(Metrics::register(&mut Registry::default())),
        post: |post| Noted::Post(post.seq),
        committed: Arc::new(move |_| {
            commits.fetch_add(1, Ordering::SeqCst);
        }),
        needs: None,
        feed: None,
    }
}

#[tokio::test]
async fn the_configuration_comes_before_the_posts_that_waited_for_the_start() {
    let store = Arc::new(Memory::new());
    let left = Batch {
        id: BatchId(Digest::of(&["before"])),
        at: fixture::at(1),
        changes: vec![Change::Transition(fixture::transition(
            1,
            AlertState::Pending,
            AlertState::Firing,
            1,
        ))],
    };
    let fence = Fence {
        role: Role::Judge,
        term: Term(1),
    };
    store.commit(&left, fence).await.unwrap();
    let (port, inputs) = Port::new();
    port.send(Noted::Configuration).await;
    let stop = CancellationToken::new();
    let running = driver(&store, &Arc::default()).run(port.clone(), inputs, stop.clone());
    let asking = async {
        loop {
            let notes = port.ask(|machine: &Notes| machine.0.clone()).await.unwrap();
            if notes.len() == 2 {
                stop.cancel();
                return notes;
            }
        }
    };
    let (ended, notes) = tokio::join!(running, asking);
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(notes, ["configuration", "post"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_answered_for_what_was_not_committed() {
    let store = Arc::new(Memory::new());
    let commits = Arc::new(AtomicUsize::new(0));
    let (port, inputs) = Port::new();
    let stop = CancellationToken::new();
    let running = driver(&store, &commits).run(port.clone(), inputs, stop.clone());
    let asking = async {
        assert_eq!(port.command(Noted::Command).await, Some(Reply::Done));
        store.set_away(true);
        let unanswered = port.command(Noted::Command);
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.cancel();
        };
        tokio::join!(unanswered, stopping).0
    };
    let (ended, answer) = tokio::join!(running, asking);
    assert_eq!((ended, answer), (Ended::Stopped, None));
    assert_eq!(commits.load(Ordering::SeqCst), 1);
}
