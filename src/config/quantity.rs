//! Numbers as people type them: `5%`, `0.05`, `250ms`, `10Gi`.

use std::time::Duration;

use crate::domain::time::Spelled;

/// A number with what it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantity {
    /// Plain.
    Number(f64),
    /// Written in per cent; 1 is all.
    Ratio(f64),
    /// A length of time.
    Duration(Duration),
    /// Bytes.
    Size(f64),
}

/// The suffixes of Kubernetes' quantities.
const SIZES: [(&str, f64); 12] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

// === impl Quantity ===

impl Quantity {
    /// Reads one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = text.strip_suffix('%') {
            return decimal(percent.trim_end()).map(|number| Self::Ratio(number / 100.0));
        }
        if let Some(number) = decimal(text) {
            return Some(Self::Number(number));
        }
        if let Ok(Spelled(duration)) = text.parse() {
            return Some(Self::Duration(duration));
        }
        let (suffix, size) = SIZES.iter().find(|(suffix, _)| text.ends_with(suffix))?;
        decimal(&text[..text.len() - suffix.len()])
            .map(|number| Self::Size((number * size).round()))
    }

    /// The plain number: bytes, seconds, 0 to 1.
    pub(super) fn plain(self) -> f64 {
        match self {
            Self::Number(number) | Self::Ratio(number) | Self::Size(number) => number,
            Self::Duration(duration) => duration.as_secs_f64(),
        }
    }
}

/// Bytes with the largest suffix that keeps them exact.
pub(super) fn size(bytes: f64) -> String {
    let exact = SIZES
        .iter()
        .rfind(|(suffix, size)| suffix.ends_with('i') && bytes >= *size && bytes % size == 0.0);
    match exact {
        Some((suffix, size)) => format!("{}{suffix}", bytes / size),
        None => format!("{}k", bytes / 1e3),
    }
}

/// A finite decimal number; not `inf`, not `nan`, not `1_000`.
fn decimal(text: &str) -> Option<f64> {
    let numeric = text
        .trim_start_matches('-')
        .starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.parse().ok()?;
    (numeric && number.is_finite()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_read_in_its_own_unit() {
        let read = |text: &str| Quantity::parse(text);
        assert_eq!(read("5%"), Some(Quantity::Ratio(0.05)));
        assert_eq!(read("0.05"), Some(Quantity::Number(0.05)));
        assert_eq!(
            read("5m"),
            Some(Quantity::Duration(Duration::from_secs(300)))
        );
        assert_eq!(read("10Gi"), Some(Quantity::Size(10_737_418_240.0)));
        assert_eq!(read("500M"), Some(Quantity::Size(5e8)));
        assert_eq!(read("1e3"), Some(Quantity::Number(1000.0)));
        for wrong in ["", "%", "inf", "nan", "5 m", "Gi", "2x", "1_000", "five"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
