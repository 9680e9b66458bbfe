mod way;
mod world;

use std::time::Duration;

use super::Ended;
use super::flight::{Outcome, RECORD_FIRST};
use crate::domain::change::Role;
use crate::domain::delivery::{Delivery, Reason};
use crate::domain::rollback::Term;
use crate::notify::Sent;
use crate::store::Store as _;
use crate::store::memory::Fault;
use world::{Reply, World, busy, start, taken};

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_delays_no_other() {
    let mut world = World::new(&["hook", "ops"]).await;
    let hook = world.script("hook", &[], Reply::Hang);
    let ops = world.script("ops", &[], taken());
    world.run();
    for thread in 0..20 {
        let thread = thread.to_string();
        let both = [
            world.delivery("hook", &thread, 1, Reason::First),
            world.delivery("ops", &thread, 1, Reason::First),
        ];
        world.put(&both).await;
    }
    world.pass(1).await;
    assert_eq!(ops.statuses().len(), 20);
    assert!(ops.seconds().iter().all(|second| *second == 0));
    assert_eq!(hook.statuses().len(), 4, "four threads in flight, not more");
    assert_eq!(world.metrics.outbox_depth.get(), 20);
    assert!(world.metrics.outbox_oldest_age.get() < 1.1);
    world.pass(15).await;
    assert_eq!(hook.statuses().len(), 8, "a hanging one is cut off");
    assert_eq!(world.counted("hook", Outcome::Retried), 4);
    assert_eq!(world.counted("ops", Outcome::Delivered), 20);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_honoured_for_the_whole_receiver_and_the_retry_has_the_same_id() {
    let mut world = World::new(&["hook", "ops"]).await;
    let hook = world.script("hook", &[busy(Some(30))], taken());
    let ops = world.script("ops", &[], taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(1).await;
    let later = [
        world.delivery("hook", "b", 1, Reason::First),
        world.delivery("ops", "b", 1, Reason::First),
    ];
    world.put(&later).await;
    world.quiet_within(40).await;
    assert_eq!(hook.seconds(), [0, 30, 30]);
    assert_eq!(ops.seconds(), [1]);
    assert_eq!(
        hook.ids().iter().filter(|id| **id == hook.ids()[0]).count(),
        2
    );
    assert_eq!(
        world
            .rows()
            .await
            .iter()
            .filter(|row| row.contains("200 OK"))
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn firing_and_resolved_keep_their_order_through_failures() {
    let mut world = World::new(&["hook"]).await;
    let failures = [busy(None), Reply::Hang, busy(None), busy(None)];
    let hook = world.script("hook", &failures, taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(1).await;
    let rest = [
        world.delivery("hook", "a", 2, Reason::Raised),
        world.delivery("hook", "a", 3, Reason::Resolved),
    ];
    world.put(&rest).await;
    world.quiet_within(60).await;
    let firing = "firing";
    assert_eq!(
        hook.statuses(),
        [firing, firing, firing, firing, firing, firing, "resolved"]
    );
    assert_eq!(
        world.rows().await,
        [
            "hook firing delivered 5: 200 OK",
            "hook firing delivered 1: 200 OK",
            "hook resolved delivered 1: 200 OK",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_over_before_it_left_is_cancelled_and_the_history_says_so() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    let episode = [
        world.delivery("hook", "a", 1, Reason::First),
        world.delivery("hook", "a", 2, Reason::Resolved),
    ];
    world.put(&episode).await;
    world.run();
    world.quiet_within(1).await;
    let cancelled = "cancelled: it was over before it was sent";
    assert_eq!(
        world.rows().await,
        [
            format!("hook firing cancelled 0: {cancelled}"),
            format!("hook resolved cancelled 0: {cancelled}"),
        ]
    );
    assert!(hook.statuses().is_empty());
    world.pass(1).await;
    assert_eq!(world.counted("hook", Outcome::Cancelled), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_between_sending_and_recording_the_same_id_is_sent_again_and_never_cancelled()
{
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.store.fail_next(Fault::Unavailable);
    world.run();
    tokio::time::sleep(RECORD_FIRST / 2).await;
    world.store.set_away(true);
    world.pass(60).await;
    let once = ["firing"];
    assert_eq!(
        hook.statuses(),
        once,
        "not sent again while its record is being written"
    );
    world.store.set_away(false);
    world.crash().await;
    world
        .put(&[world.delivery("hook", "a", 2, Reason::Resolved)])
        .await;
    world.run();
    world.quiet_within(5).await;
    assert_eq!(hook.statuses(), ["firing", "firing", "resolved"]);
    assert_eq!(hook.ids()[0], hook.ids()[1]);
    assert_eq!(
        world.rows().await,
        [
            "hook firing delivered 1: 200 OK",
            "hook resolved delivered 1: 200 OK"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_store_neither_sends_nor_counts_twice() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    let faults = [
        Fault::AmbiguousBefore,
        Fault::Unavailable,
        Fault::AmbiguousAfter,
    ];
    for fault in faults {
        world.store.fail_next(fault);
    }
    world.run();
    world.pass(60).await;
    assert_eq!(hook.statuses(), ["firing"]);
    assert_eq!(world.rows().await, ["hook firing delivered 1: 200 OK"]);
    assert_eq!(world.counted("hook", Outcome::Delivered), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_read_again_when_it_is_back() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.store.set_away(true);
    world.run();
    world.pass(10).await;
    assert!(hook.statuses().is_empty());
    world.store.set_away(false);
    world.quiet_within(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_given_up_at_once_and_the_rest_of_its_thread_still_leaves() {
    let mut world = World::new(&["hook"]).await;
    let refused = Reply::Say(Sent::Refused("400 Bad Request".into()));
    world.script("hook", &[refused], taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(1).await;
    world
        .put(&[world.delivery("hook", "a", 2, Reason::Resolved)])
        .await;
    world.quiet_within(5).await;
    assert_eq!(
        world.rows().await,
        [
            "hook firing given-up 1: 400 Bad Request",
            "hook resolved delivered 1: 200 OK"
        ]
    );
    world.pass(1).await;
    assert_eq!(world.counted("hook", Outcome::Refused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_waited_for_and_gets_its_message_when_it_is_back() {
    let mut world = World::new(&["ops"]).await;
    let hook = world.script("hook", &[], taken());
    world.script("ops", &[], taken());
    world.run();
    world
        .put(&[world.delivery("hook", "a", 1, Reason::First)])
        .await;
    world.pass(10).await;
    let row = world.rows().await.remove(0);
    assert!(row.starts_with("hook firing due "), "{row}");
    assert!(
        row.ends_with(": receiver hook is not in the configuration"),
        "{row}"
    );
    world.configure(&["hook", "ops"]);
    world.quiet_within(20).await;
    assert_eq!(hook.statuses(), ["firing"]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_given_up_after_a_day_and_the_row_stays() {
    let mut world = World::new(&["hook"]).await;
    world.script("hook", &[], busy(None));
    let old = Delivery {
        created: start() - Duration::from_secs(25 * 60 * 60),
        attempts: 8,
        ..world.delivery("hook", "a", 1, Reason::First)
    };
    world.put(&[old]).await;
    world.run();
    world.quiet_within(400).await;
    let row = world.rows().await.remove(0);
    assert!(
        row.starts_with("hook firing given-up 10: given up after 1d1h"),
        "{row}"
    );
    assert!(row.ends_with("s: 429 Too Many Requests"), "{row}");
    world.pass(1).await;
    assert_eq!(world.counted("hook", Outcome::GivenUp), 1);
    assert_eq!(world.counted("hook", Outcome::Retried), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_of_an_older_term_stops_when_it_cannot_record() {
    let mut world = World::new(&["hook"]).await;
    let hook = world.script("hook", &[], taken());
    world.run();
    let mine = world.delivery("hook", "a", 1, Reason::First);
    world
        .put(&[mine, world.delivery("hook", "b", 1, Reason::First)])
        .await;
    world.store.claim(Role::Teller, Term(9)).await.unwrap();
    world.pass(1).await;
    assert_eq!(*world.ended.lock().unwrap(), Some(Ended::Fenced));
    let sent = hook.statuses().len();
    world.pass(60).await;
    assert_eq!(hook.statuses().len(), sent);
    assert_eq!(world.store.due().await.unwrap().len(), 2);
    assert_eq!(world.metrics.outbox_depth.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_land_what_is_in_flight_but_not_for_ever() {
    let mut world = World::new(&["hook", "ops"]).await;
    world.script("hook", &[], Reply::Hang);
    world.script("ops", &[], taken());
    let both = [
        world.delivery("hook", "a", 1, Reason::First),
        world.delivery("ops", "a", 1, Reason::First),
    ];
    world.put(&both).await;
    world.store.fail_next(Fault::Unavailable);
    world.run();
    tokio::time::sleep(RECORD_FIRST / 2).await;
    world.stop.cancel();
    world.pass(1).await;
    assert_eq!(*world.ended.lock().unwrap(), None);
    assert!(
        world
            .rows()
            .await
            .contains(&"ops firing delivered 1: 200 OK".to_owned())
    );
    world.pass(5).await;
    assert_eq!(*world.ended.lock().unwrap(), Some(Ended::Stopped));
    assert!(
        world
            .rows()
            .await
            .contains(&"hook firing due 0: ".to_owned())
    );
}
