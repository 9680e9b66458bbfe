//! Lists by the page: a cursor names the place where the next page begins, so that rows which come in
//! meanwhile neither repeat nor hide others.

use std::time::Duration;

use serde::Deserialize;

use super::asking::read;
use super::problem::Problem;
use super::shape::Listing;
use crate::domain::time::Timestamp;
use crate::store::Window;

/// Rows of a page unless asked otherwise.
const LIMIT: usize = 100;
/// Rows of a page at most: a megabyte or so of JSON.
const LIMIT_MAX: usize = 1000;

/// `cursor` and `limit` of a question that has no other parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paged {
    /// Where the page begins.
    pub(super) cursor: Option<String>,
    /// How many rows.
    pub(super) limit: Option<String>,
}

/// How many rows are wanted.
pub(super) fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(LIMIT) };
    let limit: usize = read("limit", text)?;
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::bad_request(format!(
            "`limit` is between 1 and {LIMIT_MAX}"
        )))
    }
}

/// A page of a list that is ordered by time, newest first. Several rows can have the same instant, so the
/// cursor is an instant and the number of its rows that were shown already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByTime {
    from: Option<(Timestamp, usize)>,
    limit: usize,
}

impl ByTime {
    /// Reads cursor and limit.
    pub(super) fn read(cursor: Option<&str>, limit_text: Option<&str>) -> Result<Self, Problem> {
        let from = cursor.map(parse).transpose()?;
        Ok(Self {
            from,
            limit: limit(limit_text)?,
        })
    }

    /// What to ask the store for: one row more than is shown, to know whether there is a next page.
    pub(super) fn window(&self) -> Window {
        let shown = self.from.map_or(0, |(_, shown)| shown);
        Window {
            before: self.from.map(|(at, _)| at + Duration::from_micros(1)),
            limit: shown + self.limit + 1,
        }
    }

    /// Cuts the rows of [`ByTime::window`] to the page, and says where the next one begins.
    pub(super) fn cut<T>(
        &self,
        rows: Vec<T>,
        at: impl Fn(&T) -> Timestamp,
    ) -> (Vec<T>, Option<String>) {
        let skip = match self.from {
            Some((from, shown)) => rows
                .iter()
                .take(shown)
                .filter(|row| at(row) == from)
                .count(),
            None => 0,
        };
        let mut page: Vec<T> = rows.into_iter().skip(skip).collect();
        if page.len() <= self.limit {
            return (page, None);
        }
        page.truncate(self.limit);
        let next = page.last().map(|last| {
            let at_last = at(last);
            let mut shown = page
                .iter()
                .rev()
                .take_while(|row| at(row) == at_last)
                .count();
            if let Some((from, before)) = self.from
                && from == at_last
            {
                shown += before;
            }
            format!("{}.{shown}", at_last.as_micros())
        });
        (page, next)
    }
}

fn parse(cursor: &str) -> Result<(Timestamp, usize), Problem> {
    /// As many rows of one microsecond as anybody will page through.
    const SHOWN_MAX: usize = 100_000;
    let read = || {
        let (micros, shown) = cursor.split_once('.')?;
        let shown: usize = shown.parse().ok()?;
        (shown <= SHOWN_MAX).then_some(())?;
        Some((Timestamp::from_micros(micros.parse().ok()?), shown))
    };
    read().ok_or_else(|| Problem::bad_request("`cursor` is not one that was given out"))
}

/// A page of a list that is ordered by key: the cursor is the last key shown.
pub(super) fn by_key<T>(
    rows: impl IntoIterator<Item = T>,
    paged: &Paged,
    key: impl Fn(&T) -> String,
) -> Result<Listing<T>, Problem> {
    let limit = limit(paged.limit.as_deref())?;
    let mut items: Vec<T> = rows
        .into_iter()
        .filter(|row| {
            paged
                .cursor
                .as_ref()
                .is_none_or(|cursor| key(row) > *cursor)
        })
        .take(limit + 1)
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(key) } else { None };
    Ok(Listing { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The store's side of a window.
    fn rows(all: &[(i64, char)], window: Window) -> Vec<(i64, char)> {
        all.iter()
            .copied()
            .filter(|(at, _)| window.before.is_none_or(|before| *at < before.as_micros()))
            .take(window.limit)
            .collect()
    }

    #[test]
    fn pages_show_every_row_once_even_if_many_have_the_same_instant() {
        let all = [
            (9, 'a'),
            (7, 'b'),
            (7, 'c'),
            (7, 'd'),
            (7, 'e'),
            (7, 'f'),
            (3, 'g'),
        ];
        for limit in 1..=8 {
            let mut cursor: Option<String> = None;
            let mut seen = String::new();
            loop {
                let page = ByTime::read(cursor.as_deref(), Some(&limit.to_string())).unwrap();
                let (shown, next) = page.cut(rows(&all, page.window()), |(at, _)| {
                    Timestamp::from_micros(*at)
                });
                seen.extend(shown.iter().map(|(_, letter)| letter));
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen, "abcdefg", "limit {limit}");
        }
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        for cursor in ["", "x", "1", "1.x", "1.-1", "1.9999999999"] {
            assert!(ByTime::read(Some(cursor), None).is_err(), "{cursor}");
        }
    }
}
