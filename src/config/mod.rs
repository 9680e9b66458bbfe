//! Threshold files to a valid configuration.
//!
//! ```text
//! files ─► yaml (a tree with places) ─► sections ─► layers (plan under tenant) ─► placeholders
//!                                                             │
//!                            Spec, Settings ◄── typed readers ┘──► faults and lints, all at once
//! ```
//!
//! Every reader notes what is wrong and goes on, so one report holds every fault of every file. What comes
//! out is valid by construction; nothing that runs checks a configuration again. Absent on purpose: serde
//! (it stops at the first fault), reading of secrets (they are read where they are used), environment
//! variables as configuration.

use std::path::Path;
use std::sync::Arc;

use crate::domain::spec::Spec;

mod condition;
mod daemon;
mod defaults;
mod emit;
mod files;
mod http_probe;
mod layer;
mod lint;
mod mask;
mod near;
mod objective;
mod placeholder;
mod plans;
mod probe;
mod quantity;
mod read;
mod sections;
mod sink;
mod telling;
mod tenants;
mod workload;
mod yaml;

pub mod diff;
pub mod finding;
pub mod report;
pub mod settings;
pub mod show;
pub mod watch;

#[cfg(test)]
mod tests;

use finding::{Finding, Report};
use settings::Settings;
use sink::{Sink, Sources};

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is promised to whom, and what may be done about it.
    pub spec: Arc<Spec>,
    /// The daemon's own settings.
    pub settings: Settings,
    /// Digest of the files' names and contents.
    pub hash: String,
    /// What is allowed but probably not meant.
    pub lints: Vec<Finding>,
}

/// Reads a directory, recursively, or a single file.
///
/// # Errors
/// All faults of all files.
pub fn load(path: &Path) -> Result<Config, Report> {
    let sink = Sink::default();
    let (sources, hash) = files::gather(path, &sink);
    check(path, &sources, hash, sink)
}

/// Reads a text as the only file.
///
/// # Errors
/// All faults in it.
pub fn load_text(name: &str, text: &str) -> Result<Config, Report> {
    let sink = Sink::default();
    let (sources, hash) = files::single(name, text);
    check(Path::new(""), &sources, hash, sink)
}

fn check(root: &Path, sources: &Sources, hash: String, sink: Sink) -> Result<Config, Report> {
    let (spec, settings) = read(sources, &sink);
    let (faults, lints) = sink.into_findings(sources);
    if faults.is_empty() {
        return Ok(Config {
            spec: Arc::new(spec),
            settings,
            hash,
            lints,
        });
    }
    Err(Report {
        root: root.to_owned(),
        faults,
        lints,
        hash,
    })
}

fn read(sources: &Sources, sink: &Sink) -> (Spec, Settings) {
    let mut sections = sections::Sections::default();
    let mut nodes = 0;
    for (file, text) in sources.iter() {
        for document in yaml::parse(text, file, &mut nodes, sink) {
            sections.add(document, sink);
        }
    }
    for node in sections.outside_of_tenants() {
        placeholder::refuse(node, sink, sources);
    }
    let settings = daemon::read(sections.setting("daemon"), sink);
    let policy = workload::policy(sections.setting("rollback"), sink);
    let mut defaults = defaults::read(sections.setting("defaults"), sink);
    defaults.prometheus.clone_from(&settings.prometheus);
    let plans = plans::Plans::new(&sections.plans, sink);
    let tenants =
        tenants::Reader::new(&plans, &defaults, &policy, sink, sources).read(&sections.tenants);
    let receivers = telling::receivers(&sections.receivers, sink);
    let around = telling::Around {
        receivers: &sections.receivers,
        tenants: sections
            .tenants
            .iter()
            .map(|entry| entry.key.as_str())
            .collect(),
        sink,
    };
    let route = telling::route(sections.route.as_ref(), &around);
    let spec = Spec {
        tenants,
        receivers,
        route,
        rollback: policy,
    };
    (spec, settings)
}
