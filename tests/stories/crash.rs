//! Killed between breach and verified: one patch in the end, and each message once.
