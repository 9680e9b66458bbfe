//! The house rules, as tests: what reviewers would otherwise have to remember.
//!
//! Rules about the code read it as text with comments, strings and tests taken away (`source`); rules about
//! the documents and the manifests hold them against the code, the command line and each other. Every
//! exception stands in a table with its reason, and a table is checked too: an exception whose cause is gone
//! is a fault. What documentation says of metrics and routes is checked where these are defined.

#[cfg(test)]
mod documents;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod source;
#[cfg(test)]
mod words;
