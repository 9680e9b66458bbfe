//! Configurations that are broken: refused at start and at reload, and nothing stops.
