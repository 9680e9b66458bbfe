//! Faults the API server can be told to have.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Which requests a fault meets; what is absent matches everything.
#[derive(Debug, Clone, Default)]
pub struct Meets {
    /// The Kubernetes verb.
    pub verb: Option<&'static str>,
    /// The plural name of the resource.
    pub resource: Option<&'static str>,
    /// The object's name.
    pub name: Option<String>,
    /// A part of the `User-Agent` header, to spare the node and the controllers' clients.
    pub user_agent: Option<String>,
}

/// What happens to a request that meets a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The request is carried out, then the connection is closed without an answer.
    LoseAnswer,
    /// The connection is closed and nothing is carried out.
    Refuse,
    /// Nothing is carried out and nothing is ever answered.
    Hang,
    /// The request is carried out after a while.
    Delay(Duration),
    /// 429, with the seconds to wait.
    TooManyRequests(u32),
    /// 503.
    Unavailable,
    /// 403.
    Forbidden,
}

/// A fault: which requests, what happens, and how often.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which requests it meets.
    pub meets: Meets,
    /// What happens to them.
    pub effect: Effect,
    /// How many requests it meets before it is over; without end if absent.
    pub times: Option<u32>,
}

impl Fault {
    /// A fault that meets one request.
    pub fn once(meets: Meets, effect: Effect) -> Self {
        Self {
            meets,
            effect,
            times: Some(1),
        }
    }

    /// A fault that lasts until it is cleared.
    pub fn lasting(meets: Meets, effect: Effect) -> Self {
        Self {
            meets,
            effect,
            times: None,
        }
    }
}

/// What a fault looks at in a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) verb: &'a str,
    pub(super) resource: &'a str,
    pub(super) name: &'a str,
    pub(super) user_agent: &'a str,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fault);
    }

    pub(super) fn clear(&self) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Whether the call would be forbidden; nothing is used up by asking.
    pub(super) fn forbids(&self, call: Call<'_>) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut forbidding = faults
            .iter()
            .filter(|fault| fault.effect == Effect::Forbidden);
        forbidding.any(|fault| fault.meets.matches(call))
    }

    /// The effect of the first fault that meets the call; one of its times is used up.
    pub(super) fn meet(&self, call: Call<'_>) -> Option<Effect> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let place = faults.iter().position(|fault| fault.meets.matches(call))?;
        let effect = faults[place].effect;
        if let Some(times) = &mut faults[place].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                faults.remove(place);
            }
        }
        Some(effect)
    }
}

impl Meets {
    fn matches(&self, call: Call<'_>) -> bool {
        let Self {
            verb,
            resource,
            name,
            user_agent,
        } = self;
        verb.is_none_or(|verb| verb == call.verb)
            && resource.is_none_or(|resource| resource == call.resource)
            && name.as_ref().is_none_or(|name| name == call.name)
            && user_agent
                .as_ref()
                .is_none_or(|part| call.user_agent.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_over_after_its_times() {
        let call = Call {
            verb: "patch",
            resource: "deployments",
            name: "web",
            user_agent: "x/1",
        };
        let faults = Faults::default();
        let meets = Meets {
            verb: Some("patch"),
            ..Meets::default()
        };
        faults.add(Fault::once(meets, Effect::Refuse));
        assert_eq!(
            faults.meet(Call {
                verb: "get",
                ..call
            }),
            None
        );
        assert_eq!(faults.meet(call), Some(Effect::Refuse));
        assert_eq!(faults.meet(call), None);
    }
}
