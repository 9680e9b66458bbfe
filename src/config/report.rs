//! A report as people, programs and GitHub want it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::finding::{Finding, Level, Spot};

/// Source lines longer than this are shown around the place only.
const LINE_CHARS_MAX: usize = 160;

/// Like a compiler: the line, a caret, what to do; and a sum at the end.
#[must_use]
pub fn human(faults: &[Finding], lints: &[Finding]) -> String {
    let mut out = String::new();
    for finding in faults.iter().chain(lints) {
        one(&mut out, finding);
        out.push('\n');
    }
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    out.push_str(&count(faults.len(), "error"));
    out.push_str(", ");
    out.push_str(&count(lints.len(), "lint"));
    out.push('\n');
    out
}

impl std::fmt::Display for Finding {
    /// As `holdfast check` prints it, without the empty line after it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        one(&mut out, self);
        f.write_str(out.trim_end())
    }
}

fn one(out: &mut String, finding: &Finding) {
    let Finding {
        level,
        code,
        message,
        spot,
        also,
        hint,
    } = finding;
    out.push_str(&format!("{}[{code}]: {}\n", level.as_str(), clean(message)));
    let lines = [Some(spot), also.as_ref().map(|(spot, _)| spot)];
    let widest = lines
        .iter()
        .flatten()
        .map(|spot| spot.line.to_string().len())
        .max()
        .unwrap_or(1);
    place(out, "-->", spot, widest, '^', hint.as_deref());
    if let Some((spot, what)) = also {
        place(out, ":::", spot, widest, '-', Some(what));
    }
}

fn place(out: &mut String, arrow: &str, spot: &Spot, width: usize, mark: char, word: Option<&str>) {
    let blank = " ".repeat(width);
    if spot.line == 0 {
        append(out, format_args!("{blank}{arrow} {}\n", clean(&spot.file)));
        if let Some(word) = word {
            append(out, format_args!("{blank} = {}\n", clean(word)));
        }
        return;
    }
    let Spot {
        file, line, column, ..
    } = spot;
    append(
        out,
        format_args!("{blank}{arrow} {}:{line}:{column}\n", clean(file)),
    );
    append(out, format_args!("{blank} |\n"));
    let (source, before, length) = excerpt(spot);
    append(out, format_args!("{line:width$} | {source}\n"));
    let marks: String = std::iter::repeat_n(mark, length).collect();
    let under = format!(
        "{}{marks} {}",
        " ".repeat(before),
        word.map(clean).unwrap_or_default()
    );
    append(out, format_args!("{blank} | {}\n", under.trim_end()));
}

fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments)
        .expect("writing to a String cannot fail");
}

/// The line, cut if it is very long; how far the mark stands in; how long it is.
fn excerpt(spot: &Spot) -> (String, usize, usize) {
    let line: Vec<char> = clean(spot.source.trim_end()).chars().collect();
    let at = spot.column.saturating_sub(1).min(line.len());
    let length = spot.length.max(1).min(line.len().saturating_sub(at).max(1));
    if line.len() <= LINE_CHARS_MAX {
        return (line.iter().collect(), at, length);
    }
    let from = at.saturating_sub(LINE_CHARS_MAX / 4);
    let to = line.len().min(from + LINE_CHARS_MAX);
    let mut shown: String = line[from..to].iter().collect();
    let mut before = at - from;
    if from > 0 {
        shown.insert(0, '…');
        before += 1;
    }
    if to < line.len() {
        shown.push('…');
    }
    (shown, before, length.min(to - at).max(1))
}

/// What a file says cannot steer a terminal; every character stays one column.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// One object: `valid`, `hash`, `faults`, `lints`.
#[must_use]
pub fn json(hash: &str, faults: &[Finding], lints: &[Finding]) -> serde_json::Value {
    let all = |findings: &[Finding]| findings.iter().map(finding).collect::<Vec<_>>();
    json!({
        "valid": faults.is_empty(),
        "hash": hash,
        "faults": all(faults),
        "lints": all(lints),
    })
}

fn finding(finding: &Finding) -> serde_json::Value {
    let spot = |spot: &Spot| {
        json!({
            "file": spot.file,
            "line": spot.line,
            "column": spot.column,
            "length": spot.length,
            "source": spot.source,
        })
    };
    let mut object = spot(&finding.spot);
    object["code"] = json!(finding.code);
    object["message"] = json!(finding.message);
    object["hint"] = json!(finding.hint);
    object["also"] = finding.also.as_ref().map_or(json!(null), |(place, what)| {
        let mut also = spot(place);
        also["message"] = json!(what);
        also
    });
    object
}

/// Workflow commands that GitHub shows beside the changed lines.
#[must_use]
pub fn github(root: &Path, faults: &[Finding], lints: &[Finding]) -> String {
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for Finding {
        level,
        code,
        message,
        spot,
        also,
        hint,
    } in faults.iter().chain(lints)
    {
        let command = match level {
            Level::Fault => "error",
            Level::Lint => "warning",
        };
        let file = if root.is_dir() {
            root.join(&spot.file).display().to_string()
        } else {
            spot.file.clone()
        };
        let mut text = message.clone();
        if let Some((place, what)) = also {
            text.push_str(&format!(
                "\n{}:{}:{}: {what}",
                place.file, place.line, place.column
            ));
        }
        if let Some(hint) = hint {
            text.push_str(&format!("\n{hint}"));
        }
        let end = spot.column + spot.length;
        append(
            &mut out,
            format_args!(
                "::{command} file={},line={},col={},endColumn={end},title={}::{}\n",
                property(&file),
                spot.line.max(1),
                spot.column.max(1),
                property(code),
                data(&text)
            ),
        );
    }
    out
}
