//! Images that misbehave by their tag.
//!
//! A tag is a version followed by faults, separated by dashes: `shop:v2-err20-slow300-later60`.
//!
//! | part | what the app does |
//! |---|---|
//! | `err20` | answers 20 % of its requests with 500, evenly spread |
//! | `slow300` | takes 300 ms longer for every request |
//! | `slowtail` | takes two seconds longer for every twentieth request |
//! | `crashloop` | ends with an error as soon as it starts |
//! | `imagepull` | cannot be pulled |
//! | `neverready` | runs, but its `/health` answers 503 |
//! | `later60` | behaves for 60 seconds; the other faults begin then |
//!
//! Parts that are none of these belong to the version (`v2-rc1`).

use std::time::Duration;

/// What an image makes of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The tag, which the app reports as its version.
    pub version: String,
    /// Whether the image can be pulled.
    pub is_missing: bool,
    faults: Faults,
    later: Duration,
}

/// What goes wrong at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// The share of requests answered with 500.
    pub error_percent: u32,
    /// How much longer each request takes.
    pub slow: Duration,
    /// Whether every twentieth request takes much longer.
    pub has_slow_tail: bool,
    /// Whether the process ends as soon as it starts.
    pub crashes: bool,
    /// Whether the app says that it is not ready.
    pub is_unready: bool,
}

impl Image {
    /// Reads an image's name.
    pub fn parse(image: &str) -> Self {
        // A colon before the last slash belongs to the registry's port.
        let (_, last) = image.rsplit_once('/').unwrap_or(("", image));
        let tag = last.split_once(':').map_or("latest", |(_, tag)| tag);
        let mut parsed = Self {
            version: tag.to_owned(),
            ..Self::default()
        };
        for part in tag.split('-').skip(1) {
            let number = |prefix: &str| part.strip_prefix(prefix)?.parse::<u32>().ok();
            match part {
                "slowtail" => parsed.faults.has_slow_tail = true,
                "crashloop" => parsed.faults.crashes = true,
                "imagepull" => parsed.is_missing = true,
                "neverready" => parsed.faults.is_unready = true,
                _ => {
                    if let Some(percent) = number("err") {
                        parsed.faults.error_percent = percent.min(100);
                    } else if let Some(milliseconds) = number("slow") {
                        parsed.faults.slow = Duration::from_millis(milliseconds.into());
                    } else if let Some(seconds) = number("later") {
                        parsed.later = Duration::from_secs(seconds.into());
                    }
                }
            }
        }
        parsed
    }

    /// What goes wrong this long after the start of the pod.
    pub fn faults_at(&self, age: Duration) -> Faults {
        if age < self.later {
            Faults::default()
        } else {
            self.faults
        }
    }

    /// How long after its start a pod that will crash does so.
    pub fn crashes_after(&self) -> Option<Duration> {
        self.faults.crashes.then_some(self.later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_the_faults() {
        let image = Image::parse("registry.example:5000/shop:v2-err20-slow300-later60");
        assert_eq!(image.version, "v2-err20-slow300-later60");
        assert_eq!(image.faults_at(Duration::from_secs(59)), Faults::default());
        let faults = image.faults_at(Duration::from_secs(60));
        assert_eq!(faults.error_percent, 20);
        assert_eq!(faults.slow, Duration::from_millis(300));
        assert!(!faults.crashes && !faults.has_slow_tail);
    }

    #[test]
    fn other_parts_belong_to_the_version() {
        let image = Image::parse("shop:v2-rc1");
        assert_eq!(
            image.faults_at(Duration::from_secs(1000)),
            Faults::default()
        );
        assert_eq!(Image::parse("shop").version, "latest");
    }

    #[test]
    fn a_crash_may_come_later() {
        assert_eq!(Image::parse("shop:v1").crashes_after(), None);
        assert_eq!(
            Image::parse("shop:v2-crashloop").crashes_after(),
            Some(Duration::ZERO)
        );
        let later = Image::parse("shop:v2-crashloop-later5").crashes_after();
        assert_eq!(later, Some(Duration::from_secs(5)));
    }
}
