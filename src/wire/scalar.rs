//! How single values and containers are written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shape::{named, plain, text};
use super::{Unreadable, Wire};
use crate::domain::alert::{AlertState, Cause};
use crate::domain::change::Role;
use crate::domain::decision::{Hold, Trigger};
use crate::domain::delivery::{DeliveryState, Reason, Status};
use crate::domain::id::{
    AlertId, BatchId, DecisionId, DeliveryId, Digest, Name, PetitionId, ProbeId, RollbackId,
    TemplateDigest, TenantId, Uid, WorkloadId,
};
use crate::domain::objective::Severity;
use crate::domain::rollback::{Term, TrialEnd};
use crate::domain::spec::{Mode, WorkloadRef};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

plain! { bool u32 u64 String BTreeMap<String, String> }

text! {
    Name ProbeId WorkloadId WorkloadRef Timestamp
    Digest AlertId DeliveryId PetitionId DecisionId RollbackId BatchId TemplateDigest
}

named! {
    AlertState, "state of an alert", AlertState::parse;
    Cause, "cause", Cause::parse;
    Severity, "severity", Severity::parse;
    Status, "status", Status::parse;
    Reason, "reason", Reason::parse;
    DeliveryState, "state of a delivery", DeliveryState::parse;
    Hold, "hold", Hold::parse;
    Role, "role", Role::parse;
    Mode, "mode", |text| [Mode::Never, Mode::Observe, Mode::Act].into_iter().find(|mode| mode.as_str() == text);
}

impl Wire for Trigger {
    type Shape = String;

    fn show(&self) -> String {
        self.to_string()
    }

    fn read(shape: String) -> Result<Self, Unreadable> {
        Self::parse(&shape).ok_or_else(|| Unreadable::new(format!("`{shape}` is no trigger")))
    }
}

impl Wire for TrialEnd {
    type Shape = String;

    fn show(&self) -> String {
        match self {
            Self::Recovered => "recovered",
            Self::Still => "still",
            Self::Unclear => "unclear",
        }
        .to_owned()
    }

    fn read(shape: String) -> Result<Self, Unreadable> {
        match shape.as_str() {
            "recovered" => Ok(Self::Recovered),
            "still" => Ok(Self::Still),
            "unclear" => Ok(Self::Unclear),
            _ => Err(Unreadable::new(format!("`{shape}` is no end of a trial"))),
        }
    }
}

impl Wire for TenantId {
    type Shape = String;

    fn show(&self) -> String {
        self.0.show()
    }

    fn read(shape: String) -> Result<Self, Unreadable> {
        Name::read(shape).map(Self)
    }
}

impl Wire for Uid {
    type Shape = String;

    fn show(&self) -> String {
        self.0.as_ref().to_owned()
    }

    fn read(shape: String) -> Result<Self, Unreadable> {
        Ok(Self(shape.into()))
    }
}

impl Wire for Term {
    type Shape = u64;

    fn show(&self) -> u64 {
        self.0
    }

    fn read(shape: u64) -> Result<Self, Unreadable> {
        Ok(Self(shape))
    }
}

impl Wire for Arc<str> {
    type Shape = String;

    fn show(&self) -> String {
        self.as_ref().to_owned()
    }

    fn read(shape: String) -> Result<Self, Unreadable> {
        Ok(shape.into())
    }
}

impl Wire for Value {
    type Shape = f64;

    fn show(&self) -> f64 {
        self.get()
    }

    fn read(shape: f64) -> Result<Self, Unreadable> {
        Self::try_new(shape).map_err(Unreadable::new)
    }
}

/// Seconds; a float keeps whole nanoseconds up to 48 days, and whole microseconds for centuries.
impl Wire for Duration {
    type Shape = f64;

    fn show(&self) -> f64 {
        self.as_secs_f64()
    }

    fn read(shape: f64) -> Result<Self, Unreadable> {
        Self::try_from_secs_f64(shape).map_err(Unreadable::new)
    }
}

impl<T: Wire> Wire for Option<T> {
    type Shape = Option<T::Shape>;

    fn show(&self) -> Self::Shape {
        self.as_ref().map(Wire::show)
    }

    fn read(shape: Self::Shape) -> Result<Self, Unreadable> {
        shape.map(T::read).transpose()
    }
}

impl<T: Wire> Wire for Vec<T> {
    type Shape = Vec<T::Shape>;

    fn show(&self) -> Self::Shape {
        self.iter().map(Wire::show).collect()
    }

    fn read(shape: Self::Shape) -> Result<Self, Unreadable> {
        let read = |(place, item)| T::read(item).map_err(|error| error.inside(&format!("{place}")));
        shape.into_iter().enumerate().map(read).collect()
    }
}

impl<T: Wire> Wire for Box<T> {
    type Shape = T::Shape;

    fn show(&self) -> Self::Shape {
        T::show(self)
    }

    fn read(shape: Self::Shape) -> Result<Self, Unreadable> {
        T::read(shape).map(Self::new)
    }
}

/// Who acknowledged, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: String,
}

impl Wire for (String, Timestamp) {
    type Shape = Acknowledgement;

    fn show(&self) -> Acknowledgement {
        let (by, at) = self;
        Acknowledgement {
            by: by.clone(),
            at: at.show(),
        }
    }

    fn read(shape: Acknowledgement) -> Result<Self, Unreadable> {
        let Acknowledgement { by, at } = shape;
        let at = Wire::read(at).map_err(|error: Unreadable| error.inside("at"))?;
        Ok((by, at))
    }
}
