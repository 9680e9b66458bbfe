//! The teller: committed transitions and notices in, deliveries out.
//!
//! ```text
//! transition ─► told-records ─► route ─► deliveries + told-records + cursor   (one batch)
//! ```
//!
//! The contract: if *firing* was put into a receiver's outbox, *resolved* will be, even if the route,
//! the receiver or the objective is no longer configured by then; and nobody hears *resolved* who did
//! not hear *firing*. Every post is answered with [`Change::Read`], which is committed together with
//! what follows from it, so that after a crash no post is told twice and none is forgotten.
//! Deliberately absent: grouping, silences, mute times, inhibition, repeats.

use super::alert::{AlertState, Transition};
use super::change::{Change, Changes, Post, Role, Seq};
use super::delivery::{
    Delivery, DeliveryState, Message, Notice, Reason, Status, Told, delivery_id,
};
use super::event::{Machine, TellerEvent};
use super::id::{DeliveryId, Name};
use super::rollback::Term;
use super::route::Routing;
use super::time::Timestamp;
use super::told::ToldRecords;

/// The machine. It must be given the configuration before its first post: without one it knows
/// nobody to tell of anything new (who was told before is still told of the end).
#[derive(Clone, Debug)]
pub struct Teller {
    term: Term,
    told: ToldRecords,
    routing: Option<Routing>,
    read: Option<Seq>,
}

// === impl Teller ===

impl Teller {
    /// A teller of this term that goes on from what receivers were told.
    #[must_use]
    pub fn new(term: Term, told: Vec<Told>) -> Self {
        Self {
            term,
            told: ToldRecords::new(told),
            routing: None,
            read: None,
        }
    }

    fn read(&mut self, post: &Post, now: Timestamp, out: &mut Changes) {
        if self.read.is_some_and(|read| post.seq <= read) {
            return;
        }
        self.read = Some(post.seq);
        match &post.change {
            Change::Transition(transition) => match transition.to {
                AlertState::Firing => self.firing(transition, post, now, out),
                AlertState::Resolved | AlertState::Inactive => {
                    self.over(transition, post, now, out);
                }
                AlertState::Pending => {}
            },
            Change::Notice(notice) => self.notice(notice, post, now, out),
            Change::Keep(_)
            | Change::Image(_)
            | Change::Phase(_)
            | Change::Forget(_)
            | Change::Acknowledged { .. }
            | Change::Petition(_)
            | Change::Fact(_)
            | Change::Trial(_)
            | Change::Tried(_)
            | Change::Need(_)
            | Change::Decision(_)
            | Change::Rollback(_)
            | Change::Deliver(_)
            | Change::Told(_)
            | Change::Attempt(_)
            | Change::Read { .. } => {}
        }
        out.push(Change::Read {
            role: Role::Teller,
            seq: post.seq,
        });
    }

    fn firing(&mut self, transition: &Transition, post: &Post, now: Timestamp, out: &mut Changes) {
        let Some(routing) = &self.routing else {
            return;
        };
        let receivers = routing.receivers(&transition.labels);
        let receivers: Vec<Name> = receivers.into_iter().cloned().collect();
        for receiver in receivers {
            let news = self
                .told
                .news(&receiver, transition.alert, transition.severity);
            let Some((reason, count)) = news else {
                continue;
            };
            let told = Told {
                delivery: delivery_id(&receiver, transition.alert.0, Status::Firing, count),
                receiver,
                alert: transition.alert,
                status: Status::Firing,
                severity: transition.severity,
                count,
                at: now,
            };
            let message = message_of(transition, Status::Firing, reason);
            self.tell(told, message, post, out);
        }
    }

    /// The end of an episode, fired or not: an alert may also go from firing back to pending (a longer
    /// `for`) and from there to inactive, and who was told of it is owed the end all the same.
    fn over(&mut self, transition: &Transition, post: &Post, now: Timestamp, out: &mut Changes) {
        let open: Vec<Told> = self.told.open(transition.alert).cloned().collect();
        for before in open {
            let count = before.count + 1;
            let thread = transition.alert.0;
            let told = Told {
                status: Status::Resolved,
                delivery: delivery_id(&before.receiver, thread, Status::Resolved, count),
                count,
                at: now,
                ..before
            };
            let message = message_of(transition, Status::Resolved, Reason::Resolved);
            self.tell(told, message, post, out);
        }
    }

    fn tell(&mut self, told: Told, message: Message, post: &Post, out: &mut Changes) {
        self.deliver(told.delivery, &told.receiver, message, post, told.at, out);
        out.push(Change::Told(told.clone()));
        self.told.record(told);
    }

    fn notice(&self, notice: &Notice, post: &Post, now: Timestamp, out: &mut Changes) {
        let Some(routing) = &self.routing else {
            return;
        };
        for receiver in routing.receivers(&notice.message.labels) {
            // A notice is told once: 0 is no telling of an episode, which are counted from 1.
            let id = delivery_id(receiver, notice.key, notice.message.status, 0);
            self.deliver(id, receiver, notice.message.clone(), post, now, out);
        }
    }

    fn deliver(
        &self,
        id: DeliveryId,
        receiver: &Name,
        message: Message,
        post: &Post,
        now: Timestamp,
        out: &mut Changes,
    ) {
        out.push(Change::Deliver(Delivery {
            id,
            receiver: receiver.clone(),
            message,
            // A post gives a receiver at most one delivery, so the journal's order is the thread's.
            order: post.seq.0,
            created: post.at,
            due: now,
            attempts: 0,
            term: self.term,
            state: DeliveryState::Due,
        }));
    }
}

fn message_of(transition: &Transition, status: Status, reason: Reason) -> Message {
    Message {
        status,
        reason,
        severity: transition.severity,
        thread: transition.alert.0,
        labels: transition.labels.clone(),
        annotations: transition.annotations.clone(),
        starts_at: transition.began,
        ends_at: (status == Status::Resolved).then_some(transition.at),
    }
}

impl Machine for Teller {
    type Event = TellerEvent;

    fn step(&mut self, event: &TellerEvent, now: Timestamp, out: &mut Changes) {
        match event {
            TellerEvent::Spec(spec) => self.routing = Some(Routing::new(&spec.route)),
            TellerEvent::Post(post) => self.read(post, now, out),
        }
    }

    fn wake(&mut self, _now: Timestamp, _out: &mut Changes) {}

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }
}

#[cfg(test)]
mod tests;
