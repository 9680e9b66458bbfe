//! What a probe looks at, as the configuration says it: valid by construction, secrets by reference.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::id::{Digest, Name, ProbeId};

/// Where a secret is read from, at the edge, each time it is needed. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// A file (re-read when it changes); trailing newlines are dropped.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

/// A probe: where to look, how often, how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whose, and its name.
    pub id: ProbeId,
    /// Where to look.
    pub target: Target,
    /// Time between looks.
    pub every: Duration,
    /// Deadline of one look; at most `every`.
    pub timeout: Duration,
    /// Further tries within one look before it is bad.
    pub retries: u32,
    /// Labels on every alert of this probe.
    pub labels: BTreeMap<String, String>,
}

impl Probe {
    /// Fingerprint of what makes the series the same series: kind, target, expectation.
    /// If it changes the series starts anew; thresholds and intervals are not part of it.
    #[must_use]
    pub fn shape(&self) -> Digest {
        Digest::of(&[format!("{:?}", self.target)])
    }
}

/// The kinds of probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One HTTP request.
    Http(Box<HttpTarget>),
    /// One TCP connection.
    Tcp(TcpTarget),
    /// One query of a Prometheus.
    Prometheus(PrometheusTarget),
    /// Somebody else calls us.
    Heartbeat(HeartbeatTarget),
}

impl Target {
    /// The key that names the kind in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Prometheus(_) => "prometheus",
            Self::Heartbeat(_) => "heartbeat",
        }
    }
}

/// One HTTP request and what a healthy answer looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// `GET` unless said.
    pub method: String,
    /// Request headers; values may be secrets.
    pub headers: BTreeMap<String, HeaderValue>,
    /// Request body.
    pub body: Option<String>,
    /// What a healthy answer looks like.
    pub expect: HttpExpectation,
    /// JSON path (`a.b.0.c`) of the probe's value in the answer.
    pub value: Option<JsonPath>,
    /// Redirects to follow; none by default, so a redirect is judged by its status.
    pub redirects_max: u32,
}

/// A header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// As written.
    Plain(String),
    /// Read at each look.
    Secret(SecretRef),
}

/// A path into JSON: object keys and array indices, `data.items.0.ready`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonPath(pub Vec<String>);

/// A JSON scalar that is expected at a path, as its compact text (`"ok"`, `true`, `3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonScalar(pub String);

/// What a healthy HTTP answer looks like; everything that is stated must hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HttpExpectation {
    /// Accepted status ranges, inclusive; empty = 200..=299.
    pub status: Vec<(u16, u16)>,
    /// Text that the body contains.
    pub body_contains: Option<String>,
    /// Regular expression that matches somewhere in the body.
    pub body_matches: Option<String>,
    /// Values at JSON paths.
    pub json: Vec<(JsonPath, JsonScalar)>,
    /// Regular expressions that whole header values match, by lower-case header name.
    pub headers: BTreeMap<String, String>,
}

/// One TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTarget {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// One query of a Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusTarget {
    /// Name of the source: Holdfast's own blindness alert speaks of it.
    pub source: Name,
    /// Base URL of the source.
    pub url: String,
    /// Value or counters.
    pub form: PrometheusForm,
}

/// The forms of a Prometheus probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrometheusForm {
    /// An instant query whose one number is the probe's value.
    Query {
        /// PromQL.
        query: String,
        /// What an empty result means.
        empty: EmptyResult,
    },
    /// Selectors of counters; increases are taken per series since the last look.
    Counters {
        /// All events.
        total: String,
        /// The bad ones, or the good ones.
        part: CounterPart,
        /// Label that names the pod.
        pod_label: String,
    },
}

/// Which part of the total the second selector counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterPart {
    /// Bad events.
    Bad(String),
    /// Good events.
    Good(String),
}

/// What an empty result of a query means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyResult {
    /// Nothing is known (the default).
    Void,
    /// All is well: for queries that return only what is wrong.
    Good,
    /// Something is missing.
    Bad,
}

/// Somebody else calls `POST /api/v1/heartbeats/{tenant}/{probe}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatTarget {
    /// The longest silence that is still good.
    pub max_age: Duration,
}
