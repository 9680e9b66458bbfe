//! API v1, one file a noun. Handlers read the question, ask the desk or the store, and give a shape.

pub(super) mod alerts;
pub(super) mod config;
pub(super) mod decisions;
pub(super) mod deliveries;
pub(super) mod probes;
pub(super) mod rollbacks;
pub(super) mod samples;
pub(super) mod tenants;
pub(super) mod workloads;

use super::problem::Problem;

/// Who gives a command, as far as anybody says: there are no tokens yet, so it is a signature, not a proof.
fn signature(by: Option<String>) -> Result<String, Problem> {
    /// As long as a name of RFC 1123.
    const LENGTH_MAX: usize = 63;
    match by {
        None => Ok("api".to_owned()),
        Some(by) if by.is_empty() || by.chars().count() > LENGTH_MAX => Err(Problem::bad_request(
            format!("`by` has 1 to {LENGTH_MAX} characters"),
        )),
        Some(by) if by.chars().any(char::is_control) => {
            Err(Problem::bad_request("`by` has no control characters"))
        }
        Some(by) => Ok(by),
    }
}
