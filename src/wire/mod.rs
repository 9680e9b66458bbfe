//! The serialised shapes of domain's nouns: one copy, used by the store for its rows and by the server
//! for its answers. `domain` itself knows no serialisation, so a change of what is written is seen here.
//!
//! Each noun has a shape of the same name. [`Wire::show`] makes the shape, [`Wire::read`] reads the noun
//! back; most shapes are one list of fields in the macro `shape!`. How things are written:
//!
//! - ids and digests: hexadecimal; instants: RFC 3339; durations: seconds, in keys that end in `_seconds`;
//! - an alert key: `{tenant, objective, probe}`; a probe or a configured workload: `tenant/name`;
//!   a workload on its platform: `deployment/namespace/name`;
//! - what is not known: `null`.
//!
//! A reader ignores keys it does not know, so that a row or an answer of a newer version can be read.
//! A new field of a stored shape must be an `Option` or have `#[serde(default)]`: rows of the last
//! version stay readable.

mod scalar;
mod shape;

pub mod alert;
pub mod decision;
pub mod delivery;
pub mod fact;
pub mod post;
pub mod rollback;
pub mod sample;

#[cfg(test)]
pub mod fixture;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A noun that has a shape.
pub trait Wire: Sized {
    /// Its shape.
    type Shape: Serialize + DeserializeOwned;

    /// Makes the shape.
    fn show(&self) -> Self::Shape;

    /// Reads the noun back.
    ///
    /// # Errors
    /// Says which field is not what it should be.
    fn read(shape: Self::Shape) -> Result<Self, Unreadable>;
}

/// A shape that says something which the noun cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Unreadable {
    /// Where, from the outside in: `evidence.tally`.
    pub path: String,
    /// What is wrong.
    pub why: String,
}

// === impl Unreadable ===

impl Unreadable {
    fn new(why: impl ToString) -> Self {
        Self {
            path: String::new(),
            why: why.to_string(),
        }
    }

    fn inside(mut self, field: &str) -> Self {
        if self.path.is_empty() {
            field.clone_into(&mut self.path);
        } else {
            self.path = format!("{field}.{}", self.path);
        }
        self
    }
}

/// The noun as JSON text.
///
/// # Errors
/// Only if a number is not finite, which `Value` excludes.
pub fn to_json<T: Wire>(noun: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(&noun.show())
}

/// Reads a noun from JSON text.
///
/// # Errors
/// If the text is no JSON, misses a field, or says something that the noun cannot be.
pub fn from_json<T: Wire>(text: &str) -> Result<T, Unreadable> {
    let shape: T::Shape = serde_json::from_str(text).map_err(Unreadable::new)?;
    T::read(shape)
}
