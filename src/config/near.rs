//! "Did you mean": which known word is near an unknown one.

/// A hint for an unknown word, if one or two known words are near it.
pub(super) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(word, candidate))
        .collect();
    near.sort_unstable();
    near.dedup();
    let best = near.first()?.0;
    let names: Vec<String> = near
        .iter()
        .take_while(|(distance, _)| *distance == best)
        .take(3)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    Some(format!("did you mean {}?", names.join(" or ")))
}

/// A third of the longer word may be wrong.
fn allowed(word: &str, candidate: &str) -> usize {
    word.chars()
        .count()
        .max(candidate.chars().count())
        .div_ceil(3)
        .min(3)
}

/// Edits between two words; two letters that changed places are one edit.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().take(64).collect();
    let right: Vec<char> = right.to_lowercase().chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let changed = last[j] + usize::from(a != b);
            let mut cost = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_stranger_is_not() {
        assert_eq!(distance("evrey", "every"), 1);
        assert_eq!(
            hint("evrey", ["every", "timeout"]).unwrap(),
            "did you mean `every`?"
        );
        assert_eq!(hint("bogus", ["every", "timeout"]), None);
        assert_eq!(hint("x", ["vars", "p50"]), None);
    }
}
