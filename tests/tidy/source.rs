//! The files of the checkout, and Rust code with everything blanked out that is not code.

use std::path::Path;
use std::sync::OnceLock;

/// A Rust file.
pub struct Source {
    /// From the root of the checkout, with `/`.
    pub path: String,
    /// As it is written.
    pub text: String,
    /// The same without comments, without what stands in strings, without tests. Lines stay where they are.
    pub code: String,
    /// The same with tests.
    pub whole: String,
    /// Compiled for tests only.
    pub is_test: bool,
}

// === impl Source ===

impl Source {
    /// The room: the folder (or file) right below `src`.
    pub fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        below.split(['/', '.']).next()
    }

    /// The number of module names from the crate's root to this file.
    pub fn depth(&self) -> usize {
        let below = self.path.trim_start_matches("src/");
        let names = below.trim_end_matches(".rs").split('/');
        names.filter(|name| *name != "mod").count()
    }

    /// The path without `.rs`.
    pub fn stem(&self) -> String {
        self.path.trim_end_matches(".rs").to_owned()
    }

    /// The line an offset of `code` lies in.
    pub fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }
}

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the checkout.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder, from the root of the checkout; build output and hidden folders left out.
pub fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_root = folder == root() || folder == root().join("");
            if path.is_dir() {
                let left_out = name == "target" || (name.starts_with('.') && name != ".ci");
                if !left_out {
                    folders.push(path);
                }
            } else if !(is_root && name == ".git") {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("it lies in the checkout");
    below.to_string_lossy().replace('\\', "/")
}

/// Every Rust file of the crate, read once for all rules.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let paths = files("src")
            .into_iter()
            .filter(|path| path.ends_with(".rs"));
        let mut sources: Vec<Source> = paths.map(source).collect();
        let all = sources.iter().flat_map(declared);
        let for_tests = all.filter(|module| module.is_for_tests);
        let mut tests: Vec<String> = for_tests.map(|module| module.stem).collect();
        // A file of tests may take further ones in by their path.
        let inside = sources
            .iter()
            .filter(|source| tests.contains(&source.stem()));
        let further: Vec<String> = inside
            .flat_map(declared)
            .map(|module| module.stem)
            .collect();
        tests.extend(further);
        for source in &mut sources {
            source.is_test = tests.iter().any(|module| {
                let inside = source.path.strip_prefix(module.as_str());
                inside.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
        }
        sources
    })
}

/// The files that are part of the product.
pub fn product() -> impl Iterator<Item = &'static Source> {
    sources().iter().filter(|source| !source.is_test)
}

fn source(path: String) -> Source {
    let text = read(&path);
    let whole = masked(&text);
    Source {
        is_test: false,
        code: without_tests(&whole),
        path,
        text,
        whole,
    }
}

/// A `mod name;` and where its file is.
pub struct Declared {
    /// Without `.rs`; the file may also be the `mod.rs` of a folder of this name.
    pub stem: String,
    is_for_tests: bool,
}

/// The modules that this file declares, with `#[path]` and `#[cfg(test)]` heeded.
pub fn declared(source: &Source) -> Vec<Declared> {
    let (folder, _) = source.path.rsplit_once('/').unwrap_or_default();
    let stem = source.stem();
    let children = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => &stem,
    };
    let mut modules = Vec::new();
    let (mut path, mut is_for_tests) = (None, false);
    for line in source.text.lines().map(str::trim) {
        if line.starts_with("#[") {
            let named = line.strip_prefix("#[path = \"");
            path = path.or(named.and_then(|rest| rest.strip_suffix(".rs\"]")));
            is_for_tests |= line == "#[cfg(test)]";
            continue;
        }
        let name = line
            .strip_suffix(';')
            .and_then(|line| line.split("mod ").nth(1));
        if let Some(name) = name.filter(|name| !name.contains(' ')) {
            let stem = match path {
                Some(path) => format!("{folder}/{path}"),
                None => format!("{children}/{name}"),
            };
            modules.push(Declared { stem, is_for_tests });
        }
        (path, is_for_tests) = (None, false);
    }
    modules
}

/// Blanks comments and what stands in strings and characters; line breaks stay.
pub fn masked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(each) = rest.chars().next() {
        let blank = match each {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            'r' if !ends_in_word(&code) => raw(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if blank == 0 {
            code.push(each);
            rest = &rest[each.len_utf8()..];
        } else {
            // As many bytes as before, so that places in the code are places in the text.
            code.extend(
                rest[..blank]
                    .bytes()
                    .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
            );
            rest = &rest[blank..];
        }
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    let last = code.chars().next_back();
    last.is_some_and(|last| last != 'b' && (last.is_alphanumeric() || last == '_'))
}

/// The length of a string that begins here.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The length of a raw string that begins here; 0 if none does.
fn raw(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    if rest.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = hashes + 2;
    rest[begin..]
        .find(&end)
        .map_or(rest.len(), |at| begin + at + end.len())
}

/// The length of a character that begins here; 0 if it is the mark of a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |at| at + 4),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// Blanks `#[cfg(test)]` items of masked code, up to the brace that closes them.
fn without_tests(code: &str) -> String {
    let mut left = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        left.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = end_of_item(item);
        left.extend(item[..end].chars().filter(|each| *each == '\n'));
        rest = &item[end..];
    }
    left.push_str(rest);
    left
}

fn end_of_item(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, each) in item.char_indices() {
        match each {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[test]
fn what_is_no_code_is_not_read_as_code() {
    let text = "let a = \"crate::sim\"; // f64\nlet b = '\"'; let c = r#\"later \"x\" \"#; f32";
    let code = masked(text);
    assert!(!code.contains("crate::sim") && !code.contains("f64") && !code.contains("later"));
    assert!(code.contains("let c") && code.ends_with("; f32"));
    assert_eq!(code.lines().count(), 2);
}

/// A file that nobody declares is not compiled, and its tests never run.
#[test]
fn every_file_is_part_of_the_crate() {
    let all: Vec<String> = sources()
        .iter()
        .flat_map(declared)
        .map(|module| module.stem)
        .collect();
    let lost: Vec<&str> = sources()
        .iter()
        .filter(|source| !["src/lib.rs", "src/main.rs"].contains(&source.path.as_str()))
        .filter(|source| {
            let stem = source.stem();
            !all.contains(&stem.trim_end_matches("/mod").to_owned())
        })
        .map(|source| source.path.as_str())
        .collect();
    assert!(lost.is_empty(), "no `mod` leads to {lost:?}");
}

#[test]
fn tests_within_a_file_are_not_read_as_code() {
    let code = without_tests("a\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nc");
    assert!(!code.contains("fn b") && code.ends_with("\nc"));
    assert_eq!(code.lines().count(), 6);
}

#[test]
fn files_of_tests_are_told_apart() {
    let sources = sources();
    let find = |path: &str| sources.iter().find(|source| source.path == path).unwrap();
    assert!(find("src/replay/stories.rs").is_test);
    assert!(find("src/http/tests/answers.rs").is_test);
    assert!(find("src/cluster/lease_tests.rs").is_test);
    assert!(!find("src/domain/judge/mod.rs").is_test);
    assert_eq!(find("src/domain/judge/mod.rs").room(), Some("domain"));
    assert_eq!(find("src/domain/judge/mod.rs").depth(), 2);
    assert_eq!(find("src/clock.rs").room(), Some("clock"));
}
