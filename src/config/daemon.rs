//! `daemon:` to the settings that take effect at start, and the default Prometheus.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::http_probe;
use super::read::Fields;
use super::settings::{Kubernetes, KubernetesAccess, Settings};
use super::sink::{Note, Sink};
use super::yaml::Node;

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9811)),
            sqlite: PathBuf::from("/var/lib/holdfast/holdfast.db"),
            kubernetes: Kubernetes {
                access: KubernetesAccess::Auto,
                kubeconfig: None,
                context: None,
            },
            prometheus: None,
            retain_samples: DAY * 30,
            retain_alerts: DAY * 400,
        }
    }
}

/// Reads `daemon:`.
pub(super) fn read(node: Option<&Node>, sink: &Sink) -> Settings {
    let mut settings = Settings::default();
    let Some(fields) = node.and_then(|node| Fields::open(node, node.place, "daemon", sink)) else {
        return settings;
    };
    if let Some(text) = fields.text("listen") {
        match text.parse() {
            Ok(address) => settings.listen = address,
            Err(_) => {
                let place = fields
                    .entry("listen")
                    .map_or(fields.place, |entry| entry.value.place);
                let note = Note::fault("bad-value", place, "`listen` is an address and a port");
                sink.note(note.hint("such as 0.0.0.0:9811 or [::]:9811"));
            }
        }
    }
    store(&fields, &mut settings);
    if let Some(prometheus) = fields.inner("prometheus", "`prometheus` of daemon") {
        if prometheus
            .required(
                "url",
                "for instance `http://prometheus.monitoring.svc:9090`",
            )
            .is_some()
        {
            settings.prometheus = http_probe::url(&prometheus, "url");
        }
        prometheus.done();
    }
    kubernetes(&fields, &mut settings);
    if let Some(retention) = fields.inner("retention", "`retention` of daemon") {
        settings.retain_samples = retention
            .positive("samples")
            .unwrap_or(settings.retain_samples);
        settings.retain_alerts = retention
            .positive("alerts")
            .unwrap_or(settings.retain_alerts);
        retention.later(&["hourly"]);
        retention.done();
    }
    fields.later(&["slack", "smtp", "discovery", "reports", "access", "exec"]);
    fields.done();
    settings
}

fn store(fields: &Fields<'_>, settings: &mut Settings) {
    let Some(store) = fields.inner("store", "`store` of daemon") else {
        return;
    };
    store.later(&["postgres"]);
    if let Some(sqlite) = store.inner("sqlite", "`sqlite` of store") {
        if sqlite.required("path", "a file, or `:memory:`").is_some()
            && let Some(path) = sqlite.text("path")
        {
            settings.sqlite = PathBuf::from(path);
        }
        sqlite.done();
    }
    store.done();
}

fn kubernetes(fields: &Fields<'_>, settings: &mut Settings) {
    let Some(kubernetes) = fields.inner("kubernetes", "`kubernetes` of daemon") else {
        return;
    };
    match kubernetes.text("access") {
        None | Some("auto") => {}
        Some("none") => settings.kubernetes.access = KubernetesAccess::None,
        Some("required") => settings.kubernetes.access = KubernetesAccess::Required,
        Some(_) => {
            let message = "`access` is auto, none or required".to_owned();
            kubernetes.refuse("access", "bad-value", message);
        }
    }
    settings.kubernetes.kubeconfig = kubernetes.path("kubeconfig");
    settings.kubernetes.context = kubernetes.text("context").map(str::to_owned);
    kubernetes.done();
}
