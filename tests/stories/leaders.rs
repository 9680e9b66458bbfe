//! Two daemons on one cluster, and a leader that was frozen: one acts.
