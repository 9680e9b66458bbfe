//! `kubectl` of the pinned version, for what people do with it: manifests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::assets;
use super::controlplane::ControlPlane;

/// Runs `kubectl` as the administrator and gives what it printed.
///
/// # Errors
/// What it complained, if it fails.
pub fn kubectl(
    plane: &ControlPlane,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String, String> {
    let mut child = Command::new(program())
        .arg(format!(
            "--kubeconfig={}",
            plane.admin_kubeconfig().display()
        ))
        .args(arguments)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("failed to start kubectl: {error}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes())
            .map_err(|error| format!("kubectl did not read its input: {error}"))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("kubectl {}: {complaint}", arguments.join(" ")))
    }
}

/// Builds a kustomization and gives its documents as YAML, one string each.
///
/// # Errors
/// What `kubectl kustomize` complained.
pub fn kustomize(plane: &ControlPlane, folder: &Path) -> Result<Vec<String>, String> {
    let folder = folder.to_str().ok_or("an odd path")?;
    let built = kubectl(plane, &["kustomize", folder], None)?;
    Ok(built.split("\n---\n").map(str::to_owned).collect())
}

/// Applies those documents of a kustomization whose kind is named, for example the accounts and roles
/// of `k8s/` without the Deployment, whose pod nothing here could run.
///
/// # Errors
/// What `kubectl apply` complained.
pub fn apply_kinds(plane: &ControlPlane, folder: &Path, kinds: &[&str]) -> Result<(), String> {
    let documents = kustomize(plane, folder)?;
    let wanted: Vec<String> = documents
        .into_iter()
        .filter(|text| kinds.contains(&kind(text)))
        .collect();
    if wanted.is_empty() {
        return Err(format!("{} has nothing of {kinds:?}", folder.display()));
    }
    let input = wanted.join("\n---\n");
    kubectl(plane, &["apply", "--server-side", "-f", "-"], Some(&input)).map(|_| ())
}

/// Has the API server check every document of a kustomization as if it were applied. Namespaces that
/// it brings must be there already: a dry run creates none.
///
/// # Errors
/// What the server refused.
pub fn check_on_server(plane: &ControlPlane, folder: &Path) -> Result<usize, String> {
    let documents = kustomize(plane, folder)?;
    let input = documents.join("\n---\n");
    // Strict: an unknown or misspelt field is a refusal and not a warning.
    let arguments = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ];
    kubectl(plane, &arguments, Some(&input))?;
    Ok(documents.len())
}

fn kind(document: &str) -> &str {
    document
        .lines()
        .find_map(|line| line.strip_prefix("kind:"))
        .map_or("", str::trim)
}

fn program() -> PathBuf {
    let built = assets::control_plane().map(|folder| folder.join("kubectl"));
    match built {
        Ok(path) if path.is_file() => path,
        // A folder of another's making may lack it; then the one in PATH is as good.
        _ => PathBuf::from("kubectl"),
    }
}
