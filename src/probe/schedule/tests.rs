use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_603_600);
const EVERY: Duration = Duration::from_secs(30);

fn id(tenant: &str, probe: usize) -> ProbeId {
    format!("{tenant}/p{probe}").parse().unwrap()
}

fn schedule(limits: (usize, usize), probes: &[(&str, usize)]) -> Schedule {
    let (total, tenant) = limits;
    let mut schedule = Schedule::new(Limits { total, tenant });
    let wanted = probes
        .iter()
        .flat_map(|(tenant, count)| (0..*count).map(|n| (id(tenant, n), EVERY)));
    schedule.replace(wanted, NOW);
    schedule
}

fn starts(schedule: &mut Schedule) -> Vec<Start> {
    std::iter::from_fn(|| schedule.next_start()).collect()
}

#[test]
fn five_thousand_probes_are_spread_over_their_interval() {
    let mut schedule = schedule((5000, 5000), &[("acme", 5000)]);
    let mut most = 0;
    let mut all = 0;
    for second in 0..30 {
        schedule.tick(NOW + Duration::from_secs(second + 1) - Duration::from_micros(1));
        let begun = starts(&mut schedule).len();
        most = most.max(begun);
        all += begun;
    }
    assert_eq!(all, 5000, "each is looked at once within one interval");
    // 167 on average; six standard deviations more would be 244.
    assert!(most < 244, "{most} in one second");
}

#[test]
fn phases_are_kept_over_a_restart_and_a_reload() {
    let begun_later = NOW + Duration::from_millis(12_345);
    for n in 0..100 {
        let first = first_tick(&id("acme", n), EVERY, NOW);
        let later = first_tick(&id("acme", n), EVERY, begun_later);
        assert_eq!(
            later.as_micros().rem_euclid(30_000_000),
            first.as_micros().rem_euclid(30_000_000)
        );
        assert!(later >= begun_later && later < begun_later + EVERY);
    }
    let mut schedule = schedule((10, 10), &[("acme", 3)]);
    let before: Vec<_> = schedule.entries.values().map(|entry| entry.next).collect();
    let same = (0..3).map(|n| (id("acme", n), EVERY));
    schedule.replace(same.chain([(id("acme", 9), EVERY)]), begun_later);
    let after: Vec<_> = schedule.entries.values().map(|entry| entry.next).collect();
    assert_eq!(before, after[..3]);
}

#[test]
fn ticks_do_not_drift_however_late_the_loop_wakes() {
    let mut schedule = schedule((10, 10), &[("acme", 1)]);
    let phase = schedule.wake_at().unwrap().as_micros() % 30_000_000;
    for _ in 0..1000 {
        let due = schedule.wake_at().unwrap();
        assert_eq!(due.as_micros() % 30_000_000, phase);
        assert_eq!(schedule.tick(due + Duration::from_millis(7)), 0);
        let start = schedule.next_start().unwrap();
        assert_eq!(start.due, due);
        schedule.finished(&start.id);
    }
}

#[test]
fn a_look_that_still_goes_on_misses_its_tick_and_is_not_begun_twice() {
    let mut schedule = schedule((10, 10), &[("acme", 1)]);
    let due = schedule.wake_at().unwrap();
    assert_eq!(schedule.tick(due), 0);
    let start = schedule.next_start().unwrap();
    assert_eq!(schedule.tick(due + EVERY), 1);
    assert_eq!(schedule.next_start(), None);
    schedule.finished(&start.id);
    assert_eq!(
        schedule.next_start(),
        None,
        "the missed tick is not made up for"
    );
    assert_eq!(schedule.tick(due + 2 * EVERY), 0);
    assert_eq!(schedule.next_start().unwrap().due, due + 2 * EVERY);
}

#[test]
fn a_loop_that_slept_through_ticks_looks_once_and_counts_the_rest() {
    let mut schedule = schedule((10, 10), &[("acme", 1)]);
    let due = schedule.wake_at().unwrap();
    assert_eq!(schedule.tick(due + 10 * EVERY + Duration::from_secs(1)), 10);
    assert_eq!(starts(&mut schedule).len(), 1);
}

#[test]
fn a_tenant_whose_looks_all_hang_leaves_slots_for_the_others() {
    let mut schedule = schedule((8, 2), &[("hanging", 50), ("acme", 2)]);
    schedule.tick(NOW + EVERY);
    let begun = starts(&mut schedule);
    let of = |name: &str| {
        begun
            .iter()
            .filter(|start| start.id.tenant.0.as_str() == name)
            .count()
    };
    assert_eq!((of("hanging"), of("acme")), (2, 2));
}

#[test]
fn waiting_looks_begin_in_order_when_a_slot_is_free_so_none_starves() {
    let mut schedule = schedule((8, 2), &[("acme", 6)]);
    let mut seen = BTreeMap::<ProbeId, u32>::new();
    let mut going = VecDeque::new();
    // Each look takes 20 s: two slots make six looks in a minute, so every probe misses every other tick.
    for step in 0..120_u64 {
        schedule.tick(NOW + Duration::from_secs(10 * (step + 3)));
        if step % 2 == 0 {
            while let Some(id) = going.pop_front() {
                schedule.finished(&id);
            }
        }
        for start in starts(&mut schedule) {
            *seen.entry(start.id.clone()).or_default() += 1;
            going.push_back(start.id);
        }
        assert!(schedule.running() <= 2);
    }
    assert_eq!(seen.len(), 6);
    let (least, most) = (seen.values().min().unwrap(), seen.values().max().unwrap());
    assert!(most - least <= 1, "{seen:?}");
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_probing() {
    let mut schedule = schedule((10, 10), &[("acme", 1)]);
    schedule.tick(NOW + 100 * EVERY);
    let start = schedule.next_start().unwrap();
    schedule.finished(&start.id);
    assert_eq!(schedule.tick(NOW), 0);
    assert!(schedule.wake_at().unwrap() < NOW + EVERY);
}

#[test]
fn a_probe_that_is_removed_while_it_looks_frees_its_slot() {
    let mut schedule = schedule((1, 1), &[("acme", 2)]);
    schedule.tick(NOW + EVERY);
    let start = schedule.next_start().unwrap();
    schedule.replace([], NOW + EVERY);
    assert_eq!(schedule.running(), 1);
    schedule.finished(&start.id);
    assert_eq!(schedule.running(), 0);
    assert_eq!(
        schedule.next_start(),
        None,
        "the one that waited is gone too"
    );
    assert!(schedule.entries.is_empty());
}

#[test]
fn a_probe_that_comes_back_while_its_old_look_goes_on_is_not_looked_at_twice() {
    let mut schedule = schedule((9, 9), &[("acme", 1)]);
    schedule.tick(NOW + EVERY);
    let start = schedule.next_start().unwrap();
    schedule.replace([], NOW + EVERY);
    schedule.replace([(id("acme", 0), EVERY)], NOW + EVERY);
    assert_eq!(schedule.tick(NOW + 2 * EVERY), 1);
    assert_eq!(schedule.next_start(), None);
    schedule.finished(&start.id);
    schedule.tick(NOW + 3 * EVERY);
    assert!(schedule.next_start().is_some());
}

proptest! {
    /// Every tick is either begun or missed, and the limits hold, whatever happens in whatever order.
    #[test]
    fn every_tick_is_begun_or_missed(steps in proptest::collection::vec((1..40_u64, 0..4_usize), 1..100)) {
        let mut schedule = schedule((3, 2), &[("acme", 3), ("beta", 3)]);
        let (mut begun, mut missed) = (0_u64, 0_u64);
        let mut going = VecDeque::new();
        let mut now = NOW;
        for (seconds, ends) in steps {
            now = now + Duration::from_secs(seconds);
            missed += schedule.tick(now);
            for _ in 0..ends {
                if let Some(id) = going.pop_front() {
                    schedule.finished(&id);
                }
            }
            while let Some(start) = schedule.next_start() {
                begun += 1;
                going.push_back(start.id);
            }
            prop_assert!(schedule.running() <= 3);
        }
        let waiting: usize = schedule.tenants.values().map(|tenant| tenant.waiting.len()).sum();
        let ticks: i64 = (0..3).flat_map(|n| [id("acme", n), id("beta", n)]).map(|id| {
            let first = first_tick(&id, EVERY, NOW).as_micros();
            if now.as_micros() < first { 0 } else { (now.as_micros() - first) / 30_000_000 + 1 }
        }).sum();
        prop_assert_eq!(begun + missed + waiting as u64, ticks as u64);
    }
}
