//! Who hears what: the route tree, compiled once from the configuration.
//!
//! The first child that matches takes the message, and asks its own children in turn; if none does,
//! the node itself takes it. The root matches everything, so nothing falls out of the tree.
//! Deliberately absent: `continue`, grouping and mute times.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::id::Name;
use super::spec::{Matcher, Pattern, Route};

/// The compiled route tree.
#[derive(Clone, Debug)]
pub struct Routing(Node);

#[derive(Clone, Debug)]
struct Node {
    conditions: Vec<Condition>,
    receivers: Vec<Name>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Condition {
    label: String,
    any_of: Vec<Test>,
}

#[derive(Clone, Debug)]
enum Test {
    Exact(String),
    Whole(Regex),
}

// === impl Routing ===

impl Routing {
    /// Compiles a tree.
    #[must_use]
    pub fn new(route: &Route) -> Self {
        Self(Node::new(route))
    }

    /// The receivers of the node that takes a message with these labels; each once, in its order.
    #[must_use]
    pub fn receivers(&self, labels: &BTreeMap<String, String>) -> Vec<&Name> {
        let mut node = &self.0;
        while let Some(child) = node.children.iter().find(|child| child.matches(labels)) {
            node = child;
        }
        let mut seen = BTreeSet::new();
        node.receivers
            .iter()
            .filter(|name| seen.insert(*name))
            .collect()
    }
}

// === impl Node ===

impl Node {
    fn new(route: &Route) -> Self {
        Self {
            conditions: route.matchers.iter().map(Condition::new).collect(),
            receivers: route.receivers.clone(),
            children: route.routes.iter().map(Self::new).collect(),
        }
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.conditions.iter().all(|condition| {
            let value = labels.get(&condition.label).map_or("", String::as_str);
            condition.any_of.iter().any(|test| test.holds(value))
        })
    }
}

// === impl Condition ===

impl Condition {
    fn new(matcher: &Matcher) -> Self {
        Self {
            label: matcher.label.clone(),
            any_of: matcher.any_of.iter().filter_map(Test::new).collect(),
        }
    }
}

// === impl Test ===

impl Test {
    /// A pattern that does not compile (the configuration refuses it) matches nothing, so that its
    /// messages go to the parent rather than to the wrong people.
    fn new(pattern: &Pattern) -> Option<Self> {
        match pattern {
            Pattern::Exact(text) => Some(Self::Exact(text.clone())),
            Pattern::Regex(text) => Regex::new(&format!("^(?:{text})$")).ok().map(Self::Whole),
        }
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Whole(regex) => regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn node(matches: &[(&str, &[&str])], receivers: &[&str], routes: Vec<Route>) -> Route {
        let pattern = |text: &&str| match text.strip_prefix('/') {
            Some(regex) => Pattern::Regex(regex.trim_end_matches('/').into()),
            None => Pattern::Exact((*text).into()),
        };
        Route {
            matchers: matches
                .iter()
                .map(|(label, any_of)| Matcher {
                    label: (*label).into(),
                    any_of: any_of.iter().map(pattern).collect(),
                })
                .collect(),
            receivers: receivers.iter().map(|text| name(text)).collect(),
            routes,
        }
    }

    fn heard(routing: &Routing, labels: &[(&str, &str)]) -> String {
        let labels = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect();
        let names: Vec<&str> = routing
            .receivers(&labels)
            .into_iter()
            .map(Name::as_str)
            .collect();
        names.join(",")
    }

    #[test]
    fn the_first_matching_child_takes_the_message_and_its_children_are_asked_in_turn() {
        let routing = Routing::new(&node(
            &[],
            &["ops", "ops"],
            vec![
                node(
                    &[("severity", &["critical"])],
                    &["oncall"],
                    vec![node(&[("tenant", &["acme", "/eu-.*/"])], &["acme"], vec![])],
                ),
                node(&[("tenant", &["acme"])], &["mail"], vec![]),
                node(&[("team", &[""])], &["nobody"], vec![]),
            ],
        ));
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("severity", "critical"), ("tenant", "acme")], "acme"),
            (&[("severity", "critical"), ("tenant", "eu-1")], "acme"),
            (&[("severity", "critical"), ("tenant", "x-eu-1")], "oncall"),
            (&[("severity", "warning"), ("tenant", "acme")], "mail"),
            (&[("severity", "warning")], "nobody"),
            (&[("severity", "warning"), ("team", "a")], "ops"),
        ];
        for (labels, receivers) in cases {
            assert_eq!(heard(&routing, labels), receivers, "{labels:?}");
        }
    }

    #[test]
    fn a_regular_expression_matches_the_whole_value_only() {
        let routing = Routing::new(&node(
            &[],
            &["root"],
            vec![
                node(&[("tenant", &["/a|b/"])], &["child"], vec![]),
                node(&[("tenant", &["/(/"])], &["broken"], vec![]),
            ],
        ));
        assert_eq!(heard(&routing, &[("tenant", "a")]), "child");
        assert_eq!(heard(&routing, &[("tenant", "ab")]), "root");
        assert_eq!(heard(&routing, &[("tenant", "(")]), "root");
    }
}
