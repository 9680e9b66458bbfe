//! What holds where a file says nothing. The only place with default values of probes and objectives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::objective::{self, Retained};
use super::probe::{EVERY_MIN, labels};
use super::read::Fields;
use super::sink::{Note, Sink};
use super::yaml::Node;

/// Fallbacks for every probe and objective: the built-in ones, or those of `defaults:`.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// Time between looks.
    pub every: Duration,
    /// Deadline of one look, where `every` is not shorter.
    pub timeout: Duration,
    /// Further tries.
    pub retries: u32,
    /// On every alert of every probe.
    pub probe_labels: BTreeMap<String, String>,
    /// Fallbacks for objectives.
    pub objective: Retained,
    /// The default source of Prometheus probes.
    pub prometheus: Option<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            retries: 0,
            probe_labels: BTreeMap::new(),
            objective: Retained {
                over: Some(Duration::from_secs(300)),
                ..Retained::default()
            },
            prometheus: None,
        }
    }
}

/// Reads `defaults:`.
pub(super) fn read(node: Option<&Node>, sink: &Sink) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(fields) = node.and_then(|node| Fields::open(node, node.place, "defaults", sink))
    else {
        return defaults;
    };
    if let Some(probe) = fields.inner("probe", "defaults of probes") {
        let every = probe.positive("every");
        if every.is_some_and(|every| every < EVERY_MIN) {
            probe.refuse("every", "bad-value", "`every` is at least 100ms".to_owned());
        }
        let timeout = probe.positive("timeout");
        if let (Some(every), Some(timeout)) = (every, timeout)
            && timeout > every
        {
            let place = probe
                .entry("timeout")
                .map_or(probe.place, |entry| entry.value.place);
            sink.note(Note::fault(
                "timeout-beyond-interval",
                place,
                "the default timeout is longer than the default `every`",
            ));
        }
        defaults.every = every.unwrap_or(defaults.every);
        defaults.timeout = timeout.unwrap_or(defaults.timeout);
        defaults.retries = probe.small("retries").unwrap_or(0);
        defaults.probe_labels = labels(&probe);
        probe.done();
    }
    if let Some(objective) = fields.inner("objective", "defaults of objectives") {
        let built_in = defaults.objective.clone();
        defaults.objective = objective::retained(&objective).or(&built_in);
        objective.done();
    }
    fields.done();
    defaults
}
