//! What pure code has to ask for: it cannot read history, so it says what it needs and goes on
//! ("rebuilding") until the answer comes as an event.

use std::sync::Arc;
use std::time::Duration;

use super::change::Image;
use super::id::{Digest, ProbeId};
use super::sample::Sample;
use super::time::Timestamp;

/// A question about the past of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which series.
    pub series: ProbeId,
    /// Shape that an image must have.
    pub shape: Digest,
    /// How far back.
    pub span: Duration,
    /// Samples up to and including this instant; later ones come by themselves.
    pub until: Timestamp,
}

/// The answer to a [`Need`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Which series.
    pub series: ProbeId,
    /// The newest image of that shape, if there is one.
    pub image: Option<Image>,
    /// Samples after the image (or of the whole span), oldest first.
    pub samples: Arc<[Sample]>,
}
