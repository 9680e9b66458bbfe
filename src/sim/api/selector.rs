//! Label selectors, as text in a query or as an object in a spec, and the field selectors served.
//!
//! Field selectors know `metadata.name`, `metadata.namespace`, `spec.nodeName`, `status.phase` and
//! the `involvedObject`/`regarding` names of Events; others are refused, as the real server does.

use serde_json::Value;

use super::refusal::Refusal;
use crate::sim::object::{list, text};

/// A parsed selector: all requirements must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads the `labelSelector` and `fieldSelector` of a query.
    ///
    /// # Errors
    /// If either cannot be understood.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        let labels = split(labels).map(parse_label).collect::<Result<_, _>>()?;
        let fields = split(fields).map(parse_field).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Reads the `selector` of a workload: `matchLabels` and `matchExpressions`.
    pub fn of_workload(selector: &Value) -> Self {
        let mut labels = Vec::new();
        if let Some(equal) = selector.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in equal {
                let value = value.as_str().unwrap_or_default().to_owned();
                labels.push(Requirement {
                    key: key.clone(),
                    rule: Rule::In(vec![value]),
                });
            }
        }
        for expression in list(selector, "/matchExpressions") {
            let values = list(expression, "/values")
                .iter()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let rule = match text(expression, "/operator") {
                "In" => Rule::In(values),
                "NotIn" => Rule::NotIn(values),
                "Exists" => Rule::Exists,
                _ => Rule::Absent,
            };
            labels.push(Requirement {
                key: text(expression, "/key").to_owned(),
                rule,
            });
        }
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object fulfils every requirement.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.matches_labels(labels)
            && self.fields.iter().all(|field| {
                let pointer = format!("/{}", field.key.replace('.', "/"));
                field.rule.holds(Some(text(object, &pointer)))
            })
    }

    /// Whether a map of labels fulfils the requirements on labels.
    pub fn matches_labels(&self, labels: Option<&Value>) -> bool {
        self.labels.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            requirement.rule.holds(value.and_then(Value::as_str))
        })
    }
}

impl Rule {
    fn holds(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::In(values), Some(value)) => values.iter().any(|one| one == value),
            (Self::In(_), None) => false,
            (Self::NotIn(values), Some(value)) => !values.iter().any(|one| one == value),
            (Self::NotIn(_), None) => true,
            (Self::Exists, value) => value.is_some(),
            (Self::Absent, value) => value.is_none(),
        }
    }
}

/// Splits at the commas that are not inside parentheses.
fn split(selector: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    selector
        .split(move |character| {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            character == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn parse_label(part: &str) -> Result<Requirement, Refusal> {
    let requirement = |key: &str, rule| Requirement {
        key: key.trim().to_owned(),
        rule,
    };
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(requirement(key, Rule::NotIn(vec![value.trim().to_owned()])));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(requirement(key, Rule::In(vec![value.trim().to_owned()])));
    }
    if let Some((head, values)) = part.split_once('(') {
        let values = values
            .trim_end_matches(')')
            .split(',')
            .map(|v| v.trim().to_owned())
            .collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next()) {
            (Some(key), Some("in")) => Ok(requirement(key, Rule::In(values))),
            (Some(key), Some("notin")) => Ok(requirement(key, Rule::NotIn(values))),
            _ => Err(Refusal::bad_request(format!(
                "unable to parse requirement: {part:?}"
            ))),
        };
    }
    if part.contains(char::is_whitespace) {
        return Err(Refusal::bad_request(format!(
            "unable to parse requirement: {part:?}"
        )));
    }
    match part.strip_prefix('!') {
        Some(key) => Ok(requirement(key, Rule::Absent)),
        None => Ok(requirement(part, Rule::Exists)),
    }
}

fn parse_field(part: &str) -> Result<Requirement, Refusal> {
    const SERVED: [&str; 8] = [
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "status.phase",
        "involvedObject.name",
        "involvedObject.uid",
        "regarding.name",
        "regarding.uid",
    ];
    let Requirement { key, rule } = parse_label(part)?;
    if !SERVED.contains(&key.as_str()) || matches!(rule, Rule::Exists | Rule::Absent) {
        return Err(Refusal::bad_request(format!(
            "field label not supported: {key}"
        )));
    }
    Ok(Requirement { key, rule })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(labels: &str, expected: bool) {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        let selector = Selector::parse(labels, "").unwrap();
        assert_eq!(selector.matches(&object), expected, "{labels}");
    }

    #[test]
    fn label_selectors_select() {
        check("", true);
        check("app=web", true);
        check("app==web,tier!=back", true);
        check("app=api", false);
        check("app in (web, api),tier", true);
        check("app notin (web,api)", false);
        check("!missing", true);
        check("missing", false);
        check("missing!=x", true);
    }

    #[test]
    fn field_selectors_select_by_name_and_refuse_the_unknown() {
        let object = json!({"metadata": {"name": "web"}, "spec": {"nodeName": "one"}});
        assert!(
            Selector::parse("", "metadata.name=web")
                .unwrap()
                .matches(&object)
        );
        assert!(
            !Selector::parse("", "spec.nodeName!=one")
                .unwrap()
                .matches(&object)
        );
        assert!(Selector::parse("", "spec.replicas=1").is_err());
    }

    #[test]
    fn workload_selectors_combine_labels_and_expressions() {
        let selector = Selector::of_workload(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}],
        }));
        assert!(
            selector.matches(&json!({"metadata": {"labels": {"app": "web", "tier": "front"}}}))
        );
        assert!(!selector.matches(&json!({"metadata": {"labels": {"app": "web"}}})));
    }
}
