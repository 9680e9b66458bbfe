//! The rollback does not help: it is not repeated, and the release is cleared.
