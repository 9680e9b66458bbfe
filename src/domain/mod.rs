//! The pure core: judges, decides and tells without doing anything.
//!
//! No I/O, no clock, no randomness, no logging, no async, no serialisation. Time is an argument; what
//! must be remembered or done is returned as [`change::Change`]s. Three machines share one contract
//! ([`event::Machine`]): the judge turns samples into transitions and petitions, the teller
//! transitions into deliveries, the steward petitions into decisions and rollbacks.

pub mod id;
pub mod time;
pub mod value;

pub mod counter;
pub mod observation;
pub mod sample;
pub mod sight;
pub mod target;

pub mod alert;
pub mod monitor;
pub mod objective;
pub mod series;
pub mod spec;

pub mod decision;
pub mod fact;
pub mod guard;
pub mod ledger;
pub mod rollback;
pub mod rollout;
pub mod standing;
pub mod trial;

pub mod delivery;
pub mod outbox;
pub mod route;
pub mod told;

pub mod change;
pub mod command;
pub mod event;
pub mod need;

pub mod judge;
pub mod steward;
pub mod teller;
