//! Annotations: those that people and Holdfast write on a workload (`holdfast.dev/*`), and Kubernetes' own
//! that matter to a rollback. A mark that cannot be read is never taken as permission.

use std::collections::BTreeMap;

use crate::domain::rollout::Marks;
use crate::domain::spec::Mode;
use crate::domain::time::Timestamp;

/// Everything that begins like this is Holdfast's.
pub const PREFIX: &str = "holdfast.dev/";
/// A person's: can only lower the configured mode.
pub const MODE: &str = "holdfast.dev/rollback";
/// A person's: no rollback until then.
pub const FREEZE: &str = "holdfast.dev/freeze";
/// Holdfast's: id of the last rollback.
pub const ROLLBACK_ID: &str = "holdfast.dev/rollback-id";
/// Holdfast's: the template it took away.
pub const ROLLED_BACK_FROM: &str = "holdfast.dev/rolled-back-from";
/// Holdfast's: when.
pub const ROLLED_BACK_AT: &str = "holdfast.dev/rolled-back-at";
/// Holdfast's: the newest leader's term that touched it.
pub const TERM: &str = "holdfast.dev/term";

/// Number of a revision, by the Deployment controller.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The file as last applied, by `kubectl apply`.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Why, by whoever changed it.
pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// A freeze that cannot be read holds for good: year 9999.
const FOR_GOOD: Timestamp = Timestamp::from_secs(253_370_764_800);

/// Annotations by key.
pub type Annotations = BTreeMap<String, String>;

/// Reads the marks. An unknown mode is taken as `never` and an unreadable freeze as a freeze for good: who
/// wrote them wanted less to happen, not more. `propose` is observed: nobody can approve yet.
#[must_use]
pub fn read(annotations: &Annotations) -> Marks {
    let value = |key: &str| annotations.get(key).map(|text| text.trim());
    Marks {
        mode: value(MODE).map(|text| match text {
            "act" => Mode::Act,
            "observe" | "propose" => Mode::Observe,
            _ => Mode::Never,
        }),
        frozen_until: value(FREEZE).map(|text| text.parse().unwrap_or(FOR_GOOD)),
        rollback: value(ROLLBACK_ID).and_then(|text| text.parse().ok()),
        rolled_back_from: value(ROLLED_BACK_FROM).and_then(|text| text.parse().ok()),
        rolled_back_at: value(ROLLED_BACK_AT).and_then(|text| text.parse().ok()),
        term: value(TERM).and_then(|text| text.parse().ok()),
    }
}

/// The revision's number: a missing one is 0, one that is no number is none (kubectl skips those).
#[must_use]
pub fn revision(annotations: &Annotations) -> Option<u64> {
    match annotations.get(REVISION) {
        None => Some(0),
        Some(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> Annotations {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_mark_that_cannot_be_read_never_permits() {
        assert_eq!(read(&of(&[(MODE, "Act!")])).mode, Some(Mode::Never));
        assert_eq!(read(&of(&[(MODE, "propose")])).mode, Some(Mode::Observe));
        assert_eq!(read(&of(&[(MODE, "act")])).mode, Some(Mode::Act));
        assert_eq!(read(&of(&[])).mode, None);
        assert_eq!(
            read(&of(&[(FREEZE, "until monday")])).frozen_until,
            Some(FOR_GOOD)
        );
        assert_eq!(FOR_GOOD.to_string(), "9999-01-01T00:00:00Z");
    }

    #[test]
    fn a_missing_revision_is_zero_and_an_unreadable_one_is_skipped() {
        assert_eq!(revision(&of(&[])), Some(0));
        assert_eq!(revision(&of(&[(REVISION, "7")])), Some(7));
        assert_eq!(revision(&of(&[(REVISION, "seven")])), None);
    }
}
