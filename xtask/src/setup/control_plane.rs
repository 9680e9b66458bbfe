//! etcd, kube-apiserver and kube-controller-manager, built from the Go module that pins them.
//!
//! Looked for in `KUBEBUILDER_ASSETS` (the convention of the field; it usually has no controller
//! manager, and then it does not serve), then in the cache, then built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Part, fill_at_once, go};
use crate::command::{root, run};
use crate::stopwatch::Stopwatch;

/// Without these there is no control plane. `kubectl` is built too, for people and manifests.
const NEEDED: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

const PACKAGES: [&str; 4] = [
    "./cmd/etcd",
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kubectl",
];

/// What decides the binaries: a change in any of these is another folder of the cache.
const SOURCES: [&str; 4] = ["go.mod", "go.sum", "tools.go", "cmd/etcd/main.go"];

pub fn obtain(cache: &Path) -> Result<Part<PathBuf>> {
    let mut remark = String::new();
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        match missing(&folder) {
            None => {
                let how = format!("found in KUBEBUILDER_ASSETS ({})", folder.display());
                return Ok(Part { value: folder, how });
            }
            Some(name) => remark = format!("; KUBEBUILDER_ASSETS has no {name}, so not used"),
        }
    }
    let module = root().join("tests/controlplane");
    let version = kubernetes_version(&module)?;
    let place = cache
        .join("controlplane")
        .join(place_name(&module, &version)?);
    if missing(&place).is_none() {
        let how = format!("{version} found in {}{remark}", place.display());
        return Ok(Part { value: place, how });
    }
    let (go, go_remark) = go::obtain(cache)?;
    println!("building the control plane {version}: some minutes the first time");
    let watch = Stopwatch::start();
    fill_at_once(&place, |folder| build(&go, &module, &version, folder))?;
    if let Some(name) = missing(&place) {
        bail!("the build left no {name} in {}", place.display());
    }
    let how = format!(
        "{version} built in {} into {}{remark}{go_remark}",
        watch.elapsed(),
        place.display()
    );
    Ok(Part { value: place, how })
}

fn missing(folder: &Path) -> Option<&'static str> {
    NEEDED.into_iter().find(|name| !folder.join(name).is_file())
}

fn build(go: &Path, module: &Path, version: &str, folder: &Path) -> Result<()> {
    let numbers: Vec<&str> = version.trim_start_matches('v').split('.').collect();
    let [major, minor, ..] = numbers[..] else {
        bail!("tests/controlplane/go.mod requires k8s.io/kubernetes at the odd version {version}");
    };
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    );
    let mut command = Command::new(go);
    command
        .args([
            "build",
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            &flags,
            "-o",
        ])
        // The slash at the end makes it a folder that receives every binary.
        .arg(format!("{}/", folder.display()))
        .args(PACKAGES)
        .current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    run(&mut command)
}

/// The version stands in one place, the module; everything else asks it.
fn kubernetes_version(module: &Path) -> Result<String> {
    let path = module.join("go.mod");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    required_version(&text, "k8s.io/kubernetes")
        .with_context(|| format!("{} does not require k8s.io/kubernetes", path.display()))
}

fn required_version(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        line.strip_prefix(module)?
            .strip_prefix(' ')?
            .split_whitespace()
            .next()
            .map(str::to_owned)
    })
}

fn place_name(module: &Path, version: &str) -> Result<String> {
    let mut hash = Fnv::new();
    for name in SOURCES {
        let path = module.join(name);
        let bytes =
            std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        hash.add(name.as_bytes());
        hash.add(&bytes);
    }
    hash.add(std::env::consts::ARCH.as_bytes());
    Ok(format!("{version}-{:016x}", hash.0))
}

/// FNV-1a, 64 bits: tells versions apart, the same in every release of the compiler (which the
/// hasher of the standard library does not promise). Not a defence against anyone.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv::new();
        hash.add(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_version_is_read_from_the_module_and_not_from_a_longer_name() {
        let text = "require (\n\tk8s.io/kubernetes-extra v9.9.9\n\tk8s.io/kubernetes v1.36.3\n)\n";
        assert_eq!(
            required_version(text, "k8s.io/kubernetes").as_deref(),
            Some("v1.36.3")
        );
        let module = root().join("tests/controlplane");
        assert!(kubernetes_version(&module).unwrap().starts_with("v1."));
    }

    #[test]
    fn a_folder_without_controller_manager_is_no_control_plane() {
        let folder = std::env::temp_dir().join(format!("holdfast-assets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["etcd", "kube-apiserver"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(missing(&folder), Some("kube-controller-manager"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
