//! Writes YAML: block style, one entry a line, quotes where they are needed.

/// A tree to be written as YAML.
pub(super) enum Shown {
    /// Written in quotes where it must be.
    Text(String),
    /// Written as it is: numbers, booleans.
    Plain(String),
    /// On one line.
    List(Vec<Shown>),
    /// One entry a line.
    Map(Vec<(String, Shown)>),
    /// A mapping with a remark.
    Remarked(String, Box<Shown>),
}

/// The text of a tree.
pub(super) fn yaml(shown: &Shown) -> String {
    let mut out = String::new();
    write(&mut out, shown, 0);
    out
}

fn write(out: &mut String, shown: &Shown, depth: usize) {
    let indent = "  ".repeat(depth);
    match shown {
        Shown::Text(_) | Shown::Plain(_) => out.push_str(&scalar(shown)),
        Shown::Remarked(_, inner) => write(out, inner, depth),
        Shown::List(items) => {
            for item in items {
                let mut inner = String::new();
                write(&mut inner, item, depth + 1);
                out.push_str(&format!("{indent}- {}\n", inner.trim()));
            }
        }
        Shown::Map(fields) => {
            for (key, value) in fields {
                let key = quoted(key);
                match value {
                    Shown::Text(_) | Shown::Plain(_) => {
                        out.push_str(&format!("{indent}{key}: {}\n", scalar(value)));
                    }
                    Shown::List(items) if items.iter().all(is_scalar) => {
                        let items: Vec<String> = items.iter().map(scalar).collect();
                        out.push_str(&format!("{indent}{key}: [{}]\n", items.join(", ")));
                    }
                    Shown::Map(fields) if fields.is_empty() => {
                        out.push_str(&format!("{indent}{key}: {{}}\n"));
                    }
                    Shown::Remarked(remark, inner) => {
                        out.push_str(&format!("{indent}{key}: # {remark}\n"));
                        write(out, inner, depth + 1);
                    }
                    Shown::List(_) | Shown::Map(_) => {
                        out.push_str(&format!("{indent}{key}:\n"));
                        write(out, value, depth + 1);
                    }
                }
            }
        }
    }
}

const fn is_scalar(shown: &Shown) -> bool {
    matches!(shown, Shown::Text(_) | Shown::Plain(_))
}

fn scalar(shown: &Shown) -> String {
    match shown {
        Shown::Text(text) => quoted(text),
        Shown::Plain(text) => text.clone(),
        Shown::List(_) | Shown::Map(_) | Shown::Remarked(..) => String::new(),
    }
}

/// Bare where that is certainly the same text; otherwise as JSON, which is YAML.
fn quoted(text: &str) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ' | '.' | '%'))
        && !text.ends_with(' ');
    let meaning = ["true", "false", "null"].contains(&text.to_lowercase().as_str());
    if word && !meaning {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
