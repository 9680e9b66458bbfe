//! Names and ids.
//!
//! Names are what people type: DNS labels (RFC 1123), at most 63 characters. Ids are digests of what
//! they are about, so the same thing has the same id in every process and after every crash: the retry
//! of a delivery is the same delivery, the second request for a rollback is the same rollback.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// A DNS label (RFC 1123): lower-case letters, digits and `-`, 1 to 63 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a name cannot be empty")]
    Empty,
    /// RFC 1123 allows 63 characters.
    #[error("a name has at most 63 characters")]
    TooLong,
    /// A character that a DNS label cannot have.
    #[error("a name consists of a-z, 0-9 and `-`, not `{0}`")]
    Character(char),
    /// Begins or ends with a hyphen.
    #[error("a name begins and ends with a letter or a digit")]
    Hyphen,
}

// === impl Name ===

impl Name {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// One sentence for each rule of RFC 1123 that the text breaks.
    pub fn try_new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > 63 {
            return Err(NameError::TooLong);
        }
        let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        if let Some(c) = text.chars().find(|c| !allowed(c)) {
            return Err(NameError::Character(c));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Hyphen);
        }
        Ok(Self(text.into()))
    }

    /// A name that stands in the code itself.
    ///
    /// # Panics
    /// If the literal is not a DNS label; every literal is covered by a test that runs it.
    #[must_use]
    pub fn literal(text: &'static str) -> Self {
        Self::try_new(text).expect("a literal name is a DNS label")
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A customer whose services are watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub Name);

impl TenantId {
    /// The tenant under whose name Holdfast speaks of itself (blindness, dead receivers).
    /// Reserved: no configuration can define it.
    #[must_use]
    pub fn own() -> Self {
        Self(Name::literal("holdfast"))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One probe of one tenant; also the identity of its series. Shown as `acme/api`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId {
    /// Whose.
    pub tenant: TenantId,
    /// Which of the tenant's.
    pub probe: Name,
}

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.probe)
    }
}

/// Why a text is not `TENANT/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// There is no slash.
    #[error("expected TENANT/NAME")]
    Slash,
    /// One of the two is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

fn pair(text: &str) -> Result<(TenantId, Name), PairError> {
    let (tenant, name) = text.split_once('/').ok_or(PairError::Slash)?;
    Ok((TenantId(tenant.parse()?), name.parse()?))
}

impl FromStr for ProbeId {
    type Err = PairError;
    fn from_str(text: &str) -> Result<Self, PairError> {
        let (tenant, probe) = pair(text)?;
        Ok(Self { tenant, probe })
    }
}

/// One configured workload of one tenant. Shown as `acme/api`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// Whose.
    pub tenant: TenantId,
    /// Its name in the configuration.
    pub workload: Name,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.workload)
    }
}

impl FromStr for WorkloadId {
    type Err = PairError;
    fn from_str(text: &str) -> Result<Self, PairError> {
        let (tenant, workload) = pair(text)?;
        Ok(Self { tenant, workload })
    }
}

/// Identity of an alert over all its episodes: tenant, objective, probe. Shown as `acme/error-rate/api`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    /// Whose.
    pub tenant: TenantId,
    /// The objective's name.
    pub objective: Name,
    /// The probe whose series is judged.
    pub probe: Name,
}

impl AlertKey {
    /// The series this alert is judged on.
    #[must_use]
    pub fn series(&self) -> ProbeId {
        ProbeId {
            tenant: self.tenant.clone(),
            probe: self.probe.clone(),
        }
    }
}

impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.objective, self.probe)
    }
}

impl FromStr for AlertKey {
    type Err = PairError;
    fn from_str(text: &str) -> Result<Self, PairError> {
        let (tenant, rest) = text.split_once('/').ok_or(PairError::Slash)?;
        let (objective, probe) = rest.split_once('/').ok_or(PairError::Slash)?;
        Ok(Self {
            tenant: TenantId(tenant.parse()?),
            objective: objective.parse()?,
            probe: probe.parse()?,
        })
    }
}

/// 128 bits of SHA-256 over the parts that make a thing what it is; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 hexadecimal digits")]
pub struct DigestError;

// === impl Digest ===

impl Digest {
    /// Digests parts in order; lengths are mixed in, so `["ab","c"]` differs from `["a","bc"]`.
    #[must_use]
    pub fn of<P: AsRef<[u8]>>(parts: &[P]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let whole = hasher.finalize();
        let mut short = [0_u8; 16];
        short.copy_from_slice(&whole[..16]);
        Self(short)
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bytes = text.as_bytes();
        if bytes.len() != 32 {
            return Err(DigestError);
        }
        let mut digest = [0_u8; 16];
        for (slot, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| DigestError)?;
            *slot = u8::from_str_radix(pair, 16).map_err(|_| DigestError)?;
        }
        Ok(Self(digest))
    }
}

macro_rules! digest_ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.parse().map(Self)
            }
        }
    )*};
}

digest_ids! {
    /// One episode of an alert: its key and when the breach began.
    AlertId
    /// One duty to tell one receiver one thing.
    DeliveryId
    /// A judge's request to the steward: the workload, the trigger, and the breach's begin.
    PetitionId
    /// One answer of the steward to a petition or a command.
    DecisionId
    /// The one rollback a rollout can have.
    RollbackId
    /// One batch of changes; a retried commit carries the same id.
    BatchId
    /// A workload's pod template, as Holdfast digests it (without the labels and annotations that
    /// Kubernetes or a restart put in).
    TemplateDigest
}

/// The unique id that Kubernetes gave an object; empty for platforms without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub Arc<str>);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        assert_eq!(Name::try_new("a-1").unwrap().as_str(), "a-1");
        assert_eq!(Name::try_new(""), Err(NameError::Empty));
        assert_eq!(Name::try_new("A"), Err(NameError::Character('A')));
        assert_eq!(Name::try_new("-a"), Err(NameError::Hyphen));
        assert_eq!(Name::try_new(&"a".repeat(64)), Err(NameError::TooLong));
    }

    #[test]
    fn what_is_displayed_parses_back() {
        let digest = Digest::of(&["a", "b"]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        let key: AlertKey = "acme/error-rate/api".parse().unwrap();
        assert_eq!(key.to_string().parse::<AlertKey>().unwrap(), key);
        assert_ne!(Digest::of(&["ab", "c"]), Digest::of(&["a", "bc"]));
    }
}
