//! `kubectl` of the pinned version, for what people do with it: manifests.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

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

/// Builds a kustomization and gives its objects, defaults not filled in.
///
/// # Errors
/// What `kubectl` complained.
pub fn kustomize(plane: &ControlPlane, folder: &Path) -> Result<Vec<Value>, String> {
    let folder = folder.to_str().ok_or("an odd path")?;
    let built = kubectl(plane, &["kustomize", folder], None)?;
    // From YAML to JSON by the one tool at hand that reads both; the server is not asked to store.
    let arguments = [
        "create",
        "--dry-run=client",
        "--validate=false",
        "-o",
        "json",
        "-f",
        "-",
    ];
    let objects = kubectl(plane, &arguments, Some(&built))?;
    serde_json::Deserializer::from_str(&objects)
        .into_iter()
        .collect::<Result<Vec<Value>, _>>()
        .map_err(|error| format!("odd output of kubectl: {error}"))
}

/// Has the API server check every object of a kustomization as if it were applied, strictly: an unknown
/// field is a refusal and not a warning. Gives their number.
///
/// # Errors
/// What the server refused.
pub fn check_on_server(plane: &ControlPlane, folder: &Path) -> Result<usize, String> {
    let objects = kustomize(plane, folder)?;
    // A dry run creates no namespace, and what would live in one is then refused: they come first.
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| object["metadata"]["namespace"].as_str())
        .collect();
    for name in namespaces {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        apply(plane, &[namespace], &[])?;
    }
    apply(plane, &objects, &["--dry-run=server", "--validate=strict"])?;
    Ok(objects.len())
}

/// Installs the identity of a kustomization (`k8s/`) into a story's namespace: its service account with
/// its roles, and nothing that would run. Gives the account's name, for `kubeconfig_for`.
///
/// What it binds cluster-wide gets a name of the story's own, so that stories do not take each
/// other's rights away.
///
/// # Errors
/// What `kubectl` complained, or that there is no service account in it.
pub fn install_account(
    plane: &ControlPlane,
    folder: &Path,
    namespace: &str,
) -> Result<String, String> {
    let mut account = None;
    let mut wanted = Vec::new();
    for mut object in kustomize(plane, folder)? {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        match object["kind"].as_str().unwrap_or_default() {
            "ServiceAccount" => {
                object["metadata"]["namespace"] = namespace.into();
                account = Some(name);
            }
            "Role" => object["metadata"]["namespace"] = namespace.into(),
            "RoleBinding" => {
                object["metadata"]["namespace"] = namespace.into();
                bind_in(&mut object, namespace);
            }
            "ClusterRoleBinding" => {
                object["metadata"]["name"] = format!("{name}-{namespace}").into();
                bind_in(&mut object, namespace);
            }
            "ClusterRole" => {}
            _ => continue,
        }
        wanted.push(object);
    }
    let account = account.ok_or_else(|| format!("{} has no ServiceAccount", folder.display()))?;
    apply(plane, &wanted, &[])?;
    Ok(account)
}

fn bind_in(binding: &mut Value, namespace: &str) {
    let subjects = binding["subjects"].as_array_mut().into_iter().flatten();
    for subject in subjects.filter(|subject| subject["kind"] == "ServiceAccount") {
        subject["namespace"] = namespace.into();
    }
}

fn apply(plane: &ControlPlane, objects: &[Value], more: &[&str]) -> Result<(), String> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let arguments = [&["apply", "--server-side", "-f", "-"], more].concat();
    kubectl(plane, &arguments, Some(&list.to_string())).map(|_| ())
}

fn program() -> PathBuf {
    let built = assets::control_plane().map(|folder| folder.join("kubectl"));
    match built {
        Ok(path) if path.is_file() => path,
        // A folder of another's making may lack it; then the one in PATH is as good.
        _ => PathBuf::from("kubectl"),
    }
}
