//! Tables: columns as wide as their widest cell, numbers to the right, two blanks between, no lines drawn.
//!
//! Where a width is given (a terminal's), the one elastic column is cut in the middle until the row fits; where none
//! is (a pipe), nothing is cut. Cells are cleaned here, so that no caller can forget to.

use crate::clean::{clean, clean_short};
use crate::paint::{Paint, Tone};

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Words.
    Left,
    /// Numbers.
    Right,
    /// Words, cut where the row is too long. At most one.
    Elastic,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

/// A table being filled.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<Vec<Cell>>,
}

/// The narrowest an elastic column becomes, in characters.
const ELASTIC_MIN: usize = 16;
/// Between two columns.
const GAP: &str = "  ";

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: clean(&text.into()), tone: Tone::Plain }
    }
}

impl Cell {
    /// A cell in colour.
    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()), tone }
    }

    /// Its text, cleaned.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    #[must_use]
    pub fn tone(&self) -> Tone {
        self.tone
    }
}

impl Table {
    /// An empty table with these headings.
    #[must_use]
    pub fn new(columns: &[(&'static str, Column)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, heading first, each indented by two and ended by a line end.
    #[must_use]
    pub fn render(&self, paint: Paint, width_max: Option<usize>) -> String {
        let widths = self.widths(width_max);
        let heading: Vec<Cell> = self.columns.iter().map(|(name, _)| Cell::toned(Tone::Dim, *name)).collect();
        let has_heading = self.columns.iter().any(|(name, _)| !name.is_empty());
        let rows = has_heading.then_some(&heading).into_iter().chain(&self.rows);
        rows.map(|row| self.line(row, &widths, paint)).collect()
    }

    fn widths(&self, width_max: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::with_capacity(self.columns.len());
        for (index, (name, _)) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|c| c.text.chars().count()).max().unwrap_or(0);
            widths.push(widest.max(name.chars().count()));
        }
        let gaps = GAP.len().saturating_mul(self.columns.len());
        let total = widths.iter().sum::<usize>().saturating_add(gaps);
        let over = width_max.map_or(0, |max| total.saturating_sub(max));
        let elastic = self.columns.iter().position(|(_, column)| *column == Column::Elastic);
        if let Some(width) = elastic.and_then(|index| widths.get_mut(index)) {
            *width = width.saturating_sub(over).max(ELASTIC_MIN.min(*width));
        }
        widths
    }

    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        let mut owed = String::new();
        for ((cell, (_, column)), width) in row.iter().zip(&self.columns).zip(widths) {
            owed.push_str(GAP);
            let text = clean_short(&cell.text, *width);
            let pad = " ".repeat(width.saturating_sub(text.chars().count()));
            if *column == Column::Right {
                owed.push_str(&pad);
            }
            if !text.is_empty() {
                line.push_str(&std::mem::take(&mut owed));
                line.push_str(&paint.tone(cell.tone, &text));
            }
            if *column != Column::Right {
                owed.push_str(&pad);
            }
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Column, Table};
    use crate::paint::{Paint, Tone, When};

    fn sample() -> Table {
        let mut table = Table::new(&[
            ("call", Column::Left),
            ("on", Column::Elastic),
            ("gas", Column::Right),
            ("", Column::Left),
        ]);
        table.row(["fs.read".into(), "/input/a/very/long/path.csv".into(), "1,234".into(), "".into()]);
        table.row(["fs.list".into(), "/input".into(), "1".into(), Cell::toned(Tone::Bad, "denied")]);
        table
    }

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_blanks() {
        assert_eq!(
            sample().render(Paint::NONE, None),
            "  call     on                             gas\n  \
               fs.read  /input/a/very/long/path.csv  1,234\n  \
               fs.list  /input                           1  denied\n"
        );
    }

    #[test]
    fn the_elastic_column_gives_way_to_the_terminal() {
        let text = sample().render(Paint::NONE, Some(48));
        assert!(text.contains("/input/a/ve…g/path.csv  1,234"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 48), "{text}");
    }

    #[test]
    fn f81_cells_are_cleaned_and_colour_is_outside_the_padding() {
        let mut table = Table::new(&[("", Column::Left), ("", Column::Left)]);
        table.row([Cell::toned(Tone::Good, "a\x1b"), "b".into()]);
        assert_eq!(table.render(Paint::new(When::Always, false), None), "  \x1b[32ma\\x1b\x1b[0m  b\n");
    }
}
