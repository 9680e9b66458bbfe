use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::delivery::{Message, delivery_id};
use crate::domain::objective::Severity;

const TERM: Term = Term(7);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_767_600_000 + seconds)
}

fn delivery(receiver: &str, thread: &str, order: u64, reason: Reason) -> Delivery {
    let receiver: Name = receiver.parse().unwrap();
    let thread = Digest::of(&[thread]);
    let status = match reason {
        Reason::Resolved => Status::Resolved,
        Reason::First | Reason::Raised | Reason::Rollback => Status::Firing,
    };
    Delivery {
        id: delivery_id(&receiver, thread, status, order),
        receiver,
        message: Message {
            status,
            reason,
            severity: Severity::Critical,
            thread,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            starts_at: at(0),
            ends_at: None,
        },
        order,
        created: at(0),
        due: at(0),
        attempts: 0,
        term: TERM,
        state: DeliveryState::Due,
    }
}

fn attempt(of: &Delivery, state: DeliveryState, due: Timestamp) -> Attempt {
    Attempt {
        delivery: of.id,
        number: of.attempts + 1,
        at: at(0),
        answer: "".into(),
        state,
        due,
    }
}

fn orders(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|each| each.order).collect()
}

fn loaded(deliveries: &[Delivery]) -> Outbox {
    let mut outbox = Outbox::new(TERM);
    assert!(outbox.load(deliveries.to_vec()).is_empty());
    outbox
}

#[test]
fn the_second_of_a_thread_leaves_only_after_the_first_is_done_with() {
    let first = delivery("ops", "a", 1, Reason::First);
    let raised = delivery("ops", "a", 2, Reason::Raised);
    let mut outbox = loaded(&[first.clone(), raised]);
    assert_eq!(orders(&outbox.next(at(0))), [1]);
    assert!(outbox.next(at(0)).is_empty());
    outbox.settle(&first, &attempt(&first, DeliveryState::Due, at(5)));
    assert!(outbox.next(at(4)).is_empty());
    assert_eq!(outbox.next_due(), Some(at(5)));
    let again = outbox.next(at(5));
    assert_eq!((again[0].order, again[0].attempts), (1, 1));
    outbox.settle(&first, &attempt(&first, DeliveryState::Delivered, at(5)));
    assert_eq!(orders(&outbox.next(at(5))), [2]);
    assert_eq!(outbox.depth(), 1);
}

#[test]
fn a_receiver_has_four_threads_in_flight_and_takes_none_from_another() {
    let mut due: Vec<Delivery> = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .zip(1..)
        .map(|(thread, order)| delivery("hook", thread, order, Reason::First))
        .collect();
    due.push(delivery("ops", "a", 1, Reason::First));
    let mut outbox = loaded(&due);
    let sent = outbox.next(at(0));
    let to_hook = |each: &&Delivery| each.receiver.as_str() == "hook";
    assert_eq!(sent.iter().filter(to_hook).count(), IN_FLIGHT_MAX);
    assert_eq!(sent.len(), IN_FLIGHT_MAX + 1);
    assert_eq!(outbox.next_due(), None);
    let one = &sent[0];
    outbox.settle(one, &attempt(one, DeliveryState::Delivered, at(0)));
    assert_eq!(orders(&outbox.next(at(0))), [5]);
}

#[test]
fn an_episode_that_was_over_before_it_left_is_cancelled_whole() {
    let due = vec![
        delivery("ops", "a", 1, Reason::First),
        delivery("ops", "a", 2, Reason::Raised),
        delivery("ops", "a", 3, Reason::Resolved),
    ];
    let mut outbox = Outbox::new(TERM);
    let episodes = outbox.load(due.clone());
    assert_eq!(episodes.len(), 1);
    assert_eq!(orders(&episodes[0]), [1, 2, 3]);
    assert!(outbox.load(due).is_empty());
    assert!(outbox.next(at(0)).is_empty());
    for each in &episodes[0] {
        outbox.settle(each, &attempt(each, DeliveryState::Cancelled, at(0)));
    }
    assert_eq!(outbox.depth(), 0);
}

#[test]
fn nothing_is_cancelled_that_may_have_left() {
    let first = delivery("ops", "a", 1, Reason::First);
    let raised = delivery("ops", "a", 2, Reason::Raised);
    let resolved = delivery("ops", "a", 3, Reason::Resolved);
    let tried = Delivery {
        attempts: 1,
        ..first.clone()
    };
    let inherited = Delivery {
        term: Term(6),
        ..first.clone()
    };
    let mut own = first.clone();
    let labels = &mut own.message.labels;
    labels.insert("tenant".into(), "holdfast".into());
    // Tried before; inserted by a predecessor; the first telling is out already; not over yet; of
    // Holdfast's own blindness.
    let cases = [
        vec![tried, resolved.clone()],
        vec![inherited, resolved.clone()],
        vec![raised.clone(), resolved.clone()],
        vec![first.clone(), raised],
        vec![own, resolved.clone()],
    ];
    for case in cases {
        let cancelled = Outbox::new(TERM).load(case.clone());
        assert!(cancelled.is_empty(), "{case:?}");
    }
    // On its way at this moment.
    let mut outbox = loaded(std::slice::from_ref(&first));
    assert_eq!(orders(&outbox.next(at(0))), [1]);
    assert!(outbox.load(vec![first, resolved]).is_empty());
    assert!(outbox.next(at(0)).is_empty());
}

#[test]
fn a_receiver_that_asks_for_quiet_gets_it_for_all_its_threads() {
    let first = delivery("hook", "a", 1, Reason::First);
    let mut outbox = loaded(&[
        first.clone(),
        delivery("hook", "b", 2, Reason::First),
        delivery("ops", "a", 1, Reason::First),
    ]);
    outbox.quiet(&first.receiver, at(30));
    assert_eq!(orders(&outbox.next(at(29))), [1]);
    assert_eq!(outbox.next_due(), Some(at(30)));
    assert_eq!(orders(&outbox.next(at(30))), [1, 2]);
}

#[test]
fn pauses_double_to_the_cap_and_a_retry_after_is_honoured_within_its_own() {
    let schedule = RetrySchedule::default();
    let id = delivery("ops", "a", 1, Reason::First).id;
    let mut plain = 1_000;
    for number in 1..40 {
        let pause = schedule.pause(id, number, None).as_millis();
        assert!(
            pause >= plain * 8 / 10 && pause <= plain * 12 / 10,
            "{number}: {pause}"
        );
        assert_eq!(pause, schedule.pause(id, number, None).as_millis());
        plain = (plain * 2).min(300_000);
    }
    let asked = |seconds| schedule.pause(id, 1, Some(Duration::from_secs(seconds)));
    assert_eq!(asked(90), Duration::from_secs(90));
    assert_eq!(asked(9_000), Duration::from_secs(3_600));
    assert!(asked(0) >= Duration::from_millis(800));
}

#[test]
fn a_delivery_is_given_up_after_a_day_and_a_fair_number_of_tries() {
    let schedule = RetrySchedule::default();
    let day = 24 * 60 * 60;
    assert!(!schedule.exhausted(at(0), 300, at(day - 1)));
    assert!(!schedule.exhausted(at(0), 1, at(day)));
    assert!(schedule.exhausted(at(0), 10, at(day)));
}

proptest! {
    /// Sends at random, with random answers and reloads; what is taken is in order, and everything is.
    #[test]
    fn threads_keep_their_order_through_failures_and_reloads(
        sizes in proptest::collection::vec((0_usize..2, 1_u64..5), 1..8),
        choices in proptest::collection::vec((0_usize..8, 0_u8..4), 1..200),
    ) {
        let mut store: BTreeMap<DeliveryId, Delivery> = BTreeMap::new();
        for (thread, (receiver, size)) in sizes.into_iter().enumerate() {
            for order in 1..=size {
                let reason = if order == 1 { Reason::First } else { Reason::Raised };
                let each = delivery(["hook", "ops"][receiver], &thread.to_string(), order, reason);
                store.insert(each.id, each);
            }
        }
        let mut outbox = Outbox::new(TERM);
        prop_assert!(outbox.load(store.values().cloned().collect()).is_empty());
        let mut flying: Vec<Delivery> = outbox.next(at(0));
        let mut taken: BTreeMap<(Name, Digest), Vec<u64>> = BTreeMap::new();
        let endless = choices.into_iter().chain(std::iter::repeat((0, 0))).take(2_000);
        for (which, answer) in endless {
            if flying.is_empty() {
                break;
            }
            let each = flying.remove(which % flying.len());
            let state = if answer == 1 { DeliveryState::Due } else { DeliveryState::Delivered };
            if state == DeliveryState::Delivered {
                store.remove(&each.id);
                let thread = (each.receiver.clone(), each.message.thread);
                taken.entry(thread).or_default().push(each.order);
            }
            outbox.settle(&each, &attempt(&each, state, at(0)));
            if answer == 2 {
                prop_assert!(outbox.load(store.values().cloned().collect()).is_empty());
            }
            flying.extend(outbox.next(at(0)));
            let threads: std::collections::BTreeSet<_> =
                flying.iter().map(|each| (each.receiver.clone(), each.message.thread)).collect();
            prop_assert_eq!(threads.len(), flying.len());
        }
        prop_assert!(store.is_empty());
        prop_assert_eq!(outbox.depth(), 0);
        for orders in taken.values() {
            prop_assert!(orders.is_sorted_by(|a, b| a < b), "{:?}", orders);
        }
    }
}
