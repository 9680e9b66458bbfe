//! Hides what looks like a secret in a line that is shown: reports go to logs and to the page.
//!
//! By the words of the line alone, because it must also hold for files that are not YAML at all. Hiding
//! too much costs little; every hidden character stays one column, so that carets point where they should.

use std::sync::LazyLock;

use regex::Regex;

static KEY: LazyLock<Regex> = LazyLock::new(|| {
    let keys = "token|password|routing_key|secret|webhook_url|webhook|authorization|\
                proxy-authorization|cookie|x-api-key|x-auth-token";
    Regex::new(&format!(r#"(?i)(?:^|[\s\{{,"'])(?:{keys})["']?\s*:\s*"#))
        .expect("the pattern is a literal that every test of it runs")
});

static USER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"://[^/\s"'@]*@"#).expect("the pattern is a literal that every test of it runs")
});

/// The line with the values of secret keys, and users in URLs, as stars.
pub(super) fn mask(line: &str) -> String {
    let mut hidden: Vec<(usize, usize)> = KEY
        .find_iter(line)
        .filter_map(|key| Some((key.end(), key.end() + value_length(&line[key.end()..])?)))
        .collect();
    hidden.extend(
        USER.find_iter(line)
            .map(|user| (user.start() + 3, user.end() - 1)),
    );
    line.char_indices()
        .map(|(at, c)| {
            let hide = hidden.iter().any(|(from, to)| (*from..*to).contains(&at));
            if hide { '*' } else { c }
        })
        .collect()
}

/// How far the value goes; nothing for a mapping, a list, or a line that ends with the key.
fn value_length(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    match first {
        '{' | '[' => None,
        '"' | '\'' => Some(rest[1..].find(first).map_or(rest.len(), |end| end + 2)),
        _ => [", ", " }", "}", "]"]
            .iter()
            .filter_map(|end| rest.find(end))
            .min()
            .or(Some(rest.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_references_to_them_are_not() {
        for (line, shown) in [
            ("  secret: hunter2", "  secret: *******"),
            ("{ secret: hunter2, url: x }", "{ secret: *******, url: x }"),
            ("{ password: 'a, b' }", "{ password: ****** }"),
            ("Authorization: Bearer abc", "Authorization: **********"),
            ("url: https://me:pw@host/", "url: https://*****@host/"),
            ("secret_file: /s/x", "secret_file: /s/x"),
            ("webhook: { url: http://x/ }", "webhook: { url: http://x/ }"),
            ("tokens: 5", "tokens: 5"),
        ] {
            assert_eq!(mask(line), shown);
        }
    }
}
