//! A `go` that can build the control plane.
//!
//! From 1.21 on `go` fetches the toolchain that a module asks for by itself, so any such one in `PATH`
//! serves. Where there is none, Debian's package lends its own for one step: even an old one can fetch
//! the toolchain that the module names, as a module, checked against Go's checksum database. The
//! toolchain goes into the cache, Debian's is thrown away.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{debian, fill_at_once};
use crate::command::{find_program, output, root};

/// The first release that fetches toolchains by itself.
const FETCHES_TOOLCHAINS: (u32, u32) = (1, 21);

const HINT: &str = "install Go 1.21 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a \
                    folder with etcd, kube-apiserver and kube-controller-manager";

/// Gives the program, and what is worth saying about where it came from.
pub fn obtain(cache: &Path) -> Result<(PathBuf, String)> {
    if let Some(go) = find_program("go") {
        let said = output(Command::new(&go).arg("version").env("GOTOOLCHAIN", "local"))?;
        match release(&said) {
            Some(found) if found >= FETCHES_TOOLCHAINS => return Ok((go, String::new())),
            _ => println!("{} is too old ({}), not used", go.display(), said.trim()),
        }
    }
    let wanted = wanted_release()?;
    let place = cache.join("go").join(&wanted);
    let go = place.join("bin/go");
    if !go.is_file() {
        println!("no usable go in PATH: fetching the toolchain {wanted}");
        fill_at_once(&place, |folder| fetch(&wanted, folder)).context(HINT)?;
    }
    Ok((go, format!("; with go {wanted} from the cache")))
}

/// `go version go1.26.8 linux/amd64` is (1, 26).
fn release(version: &str) -> Option<(u32, u32)> {
    let word = version
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go1."))?;
    let minor = word
        .split(|character: char| !character.is_ascii_digit())
        .next()?;
    Some((1, minor.parse().ok()?))
}

fn wanted_release() -> Result<String> {
    let path = root().join("tests/controlplane/go.mod");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("go "))
        .map(|version| version.trim().to_owned())
        .with_context(|| format!("{} names no go version", path.display()))
}

fn fetch(wanted: &str, folder: &Path) -> Result<()> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Go toolchain is known for {other}"),
    };
    let borrowed = folder.join("debian");
    std::fs::create_dir(&borrowed)?;
    let old = borrow_from_debian(&borrowed)?;
    let modules = folder.join("modules");
    let module = format!("golang.org/toolchain@v0.0.1-go{wanted}.linux-{architecture}");
    output(
        Command::new(old.join("bin/go"))
            .args(["mod", "download", &module])
            .current_dir(folder)
            .env("GOROOT", &old)
            .env("GOMODCACHE", &modules)
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-modcacherw"),
    )?;
    // A module has no modes: what runs must be made to.
    let toolchain = modules.join(&module);
    output(
        Command::new("chmod")
            .args(["-R", "a+x"])
            .args([toolchain.join("bin"), toolchain.join("pkg")]),
    )?;
    for entry in std::fs::read_dir(&toolchain)? {
        let entry = entry?;
        std::fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    std::fs::remove_dir_all(&modules)?;
    std::fs::remove_dir_all(&borrowed)?;
    Ok(())
}

/// Unpacks the distribution's Go and gives its root.
fn borrow_from_debian(folder: &Path) -> Result<PathBuf> {
    let candidate = debian::candidate("golang-go")?;
    // `2:1.19~1` is served by the packages of 1.19.
    let version = candidate
        .split_once(':')
        .map_or(candidate.as_str(), |(_, version)| version);
    let series = version.split(['~', '-', '+']).next().unwrap_or(version);
    let packages = [
        format!("golang-{series}-go"),
        format!("golang-{series}-src"),
    ];
    debian::unpack(&[&packages[0], &packages[1]], folder)?;
    Ok(folder.join(format!("usr/lib/go-{series}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_what_go_says() {
        assert_eq!(release("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(release("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(release("go version go1.27rc1 linux/amd64"), Some((1, 27)));
        assert_eq!(release("go version devel +abc"), None);
    }

    #[test]
    fn the_module_says_which_toolchain_it_wants() {
        assert!(wanted_release().unwrap().starts_with("1."));
    }
}
