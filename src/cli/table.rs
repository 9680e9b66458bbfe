//! Tables on a terminal: columns as wide as they must be, nothing that could steer the terminal.

/// A table with a heading; `nothing` is said in its place if there are no rows.
#[must_use]
pub fn table(heading: &[&str], rows: &[Vec<String>], nothing: &str) -> String {
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    let cells: Vec<Vec<String>> =
        std::iter::once(heading.iter().map(|cell| (*cell).to_owned()).collect())
            .chain(
                rows.iter()
                    .map(|row| row.iter().map(|cell| plain(cell)).collect()),
            )
            .collect();
    let mut widths = vec![0; heading.len()];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A stranger's text on one line, without what steers a terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The first digits of an id, as lists show it; `explain` takes them.
#[must_use]
pub fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let rows = vec![
            vec!["acme".to_owned(), "met".to_owned()],
            vec!["globex-long".to_owned(), "\u{1b}[31mred\nline".to_owned()],
        ];
        assert_eq!(
            table(&["TENANT", "STANDING"], &rows, "none"),
            "TENANT       STANDING\nacme         met\nglobex-long   [31mred line\n"
        );
        assert_eq!(table(&["A"], &[], "There is none."), "There is none.\n");
    }
}
