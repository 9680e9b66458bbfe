//! An election under a hostile network: requests and answers are late or lost, processes freeze, clocks
//! start anywhere and run at different speeds. Whatever happens, two never lead at once.

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The API server's side: one lease, writes conditional on its version.
#[derive(Default)]
struct Server {
    lease: Option<Record>,
    version: u64,
    /// Holders in order, with their terms.
    takings: Vec<(String, u64)>,
}

impl Server {
    fn write(&mut self, proposal: &Proposal) -> Written {
        if self.lease.as_ref().map(|lease| &lease.version) != proposal.over.as_ref() {
            return Written::Refused;
        }
        self.version += 1;
        let record = Record {
            holder: proposal.holder.clone(),
            duration: proposal.duration,
            transitions: proposal.transitions,
            renewed_us: i64::try_from(self.version).unwrap(),
            version: self.version.to_string(),
        };
        if proposal.taking {
            self.takings
                .push((proposal.holder.clone(), proposal.transitions));
        }
        self.lease = Some(record.clone());
        Written::Done(record)
    }
}

/// A source of decisions that proptest chose by a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Mostly quick, sometimes longer than any deadline.
    fn delay(&mut self, hostility: u64) -> Duration {
        if self.roll(10) < hostility {
            ms(self.roll(25_000))
        } else {
            ms(1 + self.roll(40))
        }
    }
}

enum Doing {
    Waiting {
        until: Moment,
    },
    Calling {
        asked: Moment,
        gives_up: Moment,
        answer: Option<Box<(Duration, Event)>>,
        sends: Option<Box<Sends>>,
    },
}

/// A request on its way, with the world's time of its arrival.
struct Sends {
    at: Duration,
    action: Action,
    back: Duration,
}

struct Process {
    candidate: Candidate,
    /// Its clock: start and speed in thousandths.
    offset: Duration,
    speed: u32,
    frozen_until: Duration,
    doing: Doing,
    /// Requests it gave up on that still travel.
    astray: Vec<Sends>,
}

impl Process {
    fn clock(&self, world: Duration) -> Moment {
        self.offset + world * self.speed / 1000
    }

    fn begin(&mut self, action: Action, world: Duration, dice: &mut Dice, hostility: u64) {
        let now = self.clock(world);
        self.doing = match action {
            Action::Wait(time) => Doing::Waiting { until: now + time },
            Action::Read | Action::Write(_) => Doing::Calling {
                asked: now,
                gives_up: now + self.candidate.times.call,
                answer: None,
                sends: Some(Box::new(Sends {
                    at: world + dice.delay(hostility),
                    action,
                    back: dice.delay(hostility),
                })),
            },
        };
    }

    /// Lets requests arrive that are due.
    fn network(&mut self, server: &mut Server, world: Duration) {
        self.astray.retain(|sends| {
            if let (true, Action::Write(proposal)) = (sends.at <= world, &sends.action) {
                server.write(proposal);
            }
            sends.at > world
        });
        let Doing::Calling {
            asked,
            answer,
            sends,
            ..
        } = &mut self.doing
        else {
            return;
        };
        if sends.as_ref().is_none_or(|sends| sends.at > world) {
            return;
        }
        let Some(Sends { action, back, .. }) = sends.take().map(|sends| *sends) else {
            return;
        };
        let event = match &action {
            Action::Write(proposal) => Event::Wrote {
                asked: *asked,
                written: server.write(proposal),
            },
            Action::Read | Action::Wait(_) => Event::Read(server.lease.clone()),
        };
        *answer = Some(Box::new((world + back, event)));
    }

    fn turn(&mut self, world: Duration, dice: &mut Dice, hostility: u64) {
        if world < self.frozen_until {
            return;
        }
        let now = self.clock(world);
        let event = match &mut self.doing {
            Doing::Waiting { until } if now >= *until => Event::Wake,
            Doing::Calling {
                answer: Some(answer),
                ..
            } if world >= answer.0 => answer.1.clone(),
            Doing::Calling {
                asked,
                gives_up,
                sends,
                ..
            } if now >= *gives_up => {
                let write = match sends.take() {
                    Some(sends) => {
                        let write = matches!(sends.action, Action::Write(_));
                        self.astray.push(*sends);
                        write
                    }
                    None => true,
                };
                let asked = *asked;
                if write {
                    Event::Wrote {
                        asked,
                        written: Written::Unknown,
                    }
                } else {
                    Event::ReadFailed
                }
            }
            Doing::Waiting { .. } | Doing::Calling { .. } => return,
        };
        let action = self.candidate.step(event, now);
        self.begin(action, world, dice, hostility);
    }
}

struct Story {
    leaders_seen: Vec<(Duration, usize, u64)>,
    takings: Vec<(String, u64)>,
}

/// Plays `seconds` of an election of three; fails if two lead in the same instant.
fn play(seed: u64, seconds: u64, hostility: u64, freezes: bool) -> Result<Story, TestCaseError> {
    let mut dice = Dice(seed | 1);
    let mut server = Server::default();
    let mut processes: Vec<_> = (0..3)
        .map(|n| Process {
            candidate: Candidate::new(format!("p{n}"), LeaseTimes::default()),
            offset: ms(dice.roll(100_000_000)),
            speed: 900 + u32::try_from(dice.roll(201)).unwrap(),
            frozen_until: Duration::ZERO,
            doing: Doing::Waiting {
                until: Duration::ZERO,
            },
            astray: Vec::new(),
        })
        .collect();
    let mut leaders_seen: Vec<(Duration, usize, u64)> = Vec::new();
    for tick in 0..seconds * 20 {
        let world = ms(tick * 50);
        for process in &mut processes {
            if freezes && dice.roll(400) == 0 {
                process.frozen_until = world + ms(dice.roll(30_000));
            }
            process.network(&mut server, world);
            process.turn(world, &mut dice, hostility);
        }
        let leads = |(n, process): (usize, &Process)| {
            Some((n, process.candidate.held(process.clock(world))?.term.0))
        };
        let leaders: Vec<_> = processes.iter().enumerate().filter_map(leads).collect();
        prop_assert!(leaders.len() <= 1, "two lead at {world:?}: {leaders:?}");
        if let [(n, term)] = leaders[..]
            && leaders_seen
                .last()
                .is_none_or(|(_, last, last_term)| (*last, *last_term) != (n, term))
        {
            leaders_seen.push((world, n, term));
        }
    }
    Ok(Story {
        leaders_seen,
        takings: server.takings,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_never_lead_at_once_and_terms_only_rise(seed: u64, hostility in 0_u64..8) {
        let story = play(seed, 300, hostility, true)?;
        for pair in story.takings.windows(2) {
            prop_assert!(pair[0].1 < pair[1].1, "{:?}", story.takings);
        }
        for pair in story.leaders_seen.windows(2) {
            let ((_, before, term_before), (_, after, term_after)) = (pair[0], pair[1]);
            prop_assert!(term_before <= term_after, "{:?}", story.leaders_seen);
            prop_assert!(before == after || term_before < term_after, "{:?}", story.leaders_seen);
        }
    }

    #[test]
    fn in_a_good_network_one_leads_at_once_and_stays(seed: u64) {
        let story = play(seed, 120, 0, false)?;
        prop_assert_eq!(story.leaders_seen.len(), 1, "{:?}", story.leaders_seen);
        prop_assert!(story.leaders_seen[0].0 < Duration::from_secs(1));
    }
}

fn record(holder: &str, transitions: u64, version: &str) -> Record {
    Record {
        holder: holder.to_owned(),
        duration: Duration::from_secs(15),
        transitions,
        renewed_us: 0,
        version: version.to_owned(),
    }
}

fn second(n: u64) -> Moment {
    Duration::from_secs(1000 + n)
}

#[test]
fn a_lease_is_taken_only_after_a_whole_duration_without_change() {
    let mut me = Candidate::new("me".to_owned(), LeaseTimes::default());
    let other = || Event::Read(Some(record("other", 3, "7")));
    assert_eq!(me.step(Event::Wake, second(0)), Action::Read);
    assert_eq!(
        me.step(other(), second(0)),
        Action::Wait(Duration::from_secs(2))
    );
    assert_eq!(
        me.step(other(), second(14)),
        Action::Wait(Duration::from_secs(1))
    );
    let renewed = Event::Read(Some(record("other", 3, "8")));
    assert_eq!(
        me.step(renewed.clone(), second(15)),
        Action::Wait(Duration::from_secs(2))
    );
    let Action::Write(proposal) = me.step(renewed, second(30)) else {
        panic!("it must be taken");
    };
    assert_eq!(
        (proposal.transitions, proposal.over.as_deref()),
        (4, Some("8"))
    );
    assert_eq!(me.held(second(30)), None);
}

#[test]
fn leading_ends_a_deadline_after_the_renewal_was_sent() {
    let mut me = Candidate::new("me".to_owned(), LeaseTimes::default());
    let written = Written::Done(record("me", 1, "1"));
    me.step(
        Event::Wrote {
            asked: second(0),
            written,
        },
        second(3),
    );
    assert!(me.held(second(9)).is_some());
    assert_eq!(me.held(second(10)), None);
}

#[test]
fn a_released_lease_is_taken_at_once_in_a_new_term() {
    let mut me = Candidate::new("me".to_owned(), LeaseTimes::default());
    me.step(
        Event::Wrote {
            asked: second(0),
            written: Written::Done(record("me", 5, "9")),
        },
        second(0),
    );
    let released = me.resign(second(1)).unwrap();
    assert_eq!(
        (released.holder.as_str(), released.over.as_deref()),
        ("", Some("9"))
    );
    assert_eq!(me.held(second(1)), None);
    assert_eq!(me.resign(second(1)), None);

    let mut other = Candidate::new("other".to_owned(), LeaseTimes::default());
    let Action::Write(taking) = other.step(Event::Read(Some(record("", 5, "10"))), second(2))
    else {
        panic!("a free lease must be taken");
    };
    assert_eq!(taking.transitions, 6);
}

#[test]
fn a_deleted_lease_does_not_stop_its_holder_so_it_is_waited_for() {
    let mut me = Candidate::new("me".to_owned(), LeaseTimes::default());
    me.step(Event::Read(Some(record("other", 3, "7"))), second(0));
    assert_eq!(
        me.step(Event::Read(None), second(5)),
        Action::Wait(Duration::from_secs(2))
    );
    let Action::Write(made) = me.step(Event::Read(None), second(15)) else {
        panic!("it must be made anew");
    };
    assert_eq!((made.transitions, made.over), (4, None));
}
