//! Tables that fit the terminal: columns that matter less are left out where it is narrow.

use std::fmt::Write as _;

/// What a terminal has where nobody says otherwise.
const DEFAULT_WIDTH: usize = 80;
/// Below this a shortened text tells nothing.
const SHORTENED_MIN: usize = 8;
const GAP: usize = 2;

/// One column.
pub(crate) struct Column {
    head: &'static str,
    cells: Vec<String>,
    is_number: bool,
    /// 0: always shown; of the others a smaller one goes first.
    rank: u8,
    /// Whether a cell may be shortened to what is left of the line.
    is_flexible: bool,
}

impl Column {
    /// Text, aligned to the left.
    pub(crate) fn text(head: &'static str, rank: u8, cells: impl Iterator<Item = String>) -> Self {
        Self { head, cells: cells.collect(), is_number: false, rank, is_flexible: false }
    }

    /// Numbers, aligned to the right.
    pub(crate) fn numbers(head: &'static str, rank: u8, cells: impl Iterator<Item = String>) -> Self {
        Self { is_number: true, ..Self::text(head, rank, cells) }
    }

    /// The same, shortened where the line has not enough room.
    pub(crate) fn flexible(self) -> Self {
        Self { is_flexible: true, ..self }
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.chain([self.head.len()]).max().unwrap_or_default()
    }

    fn write(&self, cell: &str, width: usize, line: &mut String) {
        let cell = if cell.chars().count() > width {
            cell.chars().take(width - 1).chain(['…']).collect()
        } else {
            cell.to_owned()
        };
        // Writing into a String does not fail.
        let _ = if self.is_number { write!(line, "{cell:>width$}") } else { write!(line, "{cell:<width$}") };
    }
}

/// The columns of the terminal that the command writes to; COLUMNS or 80 where it is none.
pub(crate) fn terminal_width() -> usize {
    let of_terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let of_variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    of_terminal.or_else(of_variable).filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH)
}

/// The table, within a width as far as the columns that are always shown allow.
pub(crate) fn render(columns: &[Column], width: usize) -> String {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|index| columns[*index].rank);
    let mut widths: Vec<Option<usize>> = vec![None; columns.len()];
    let mut left = width + GAP;
    for index in by_rank {
        let column = &columns[index];
        let (wanted, room) = (column.width(), left.saturating_sub(GAP));
        widths[index] = match column {
            _ if column.rank == 0 || wanted <= room => Some(wanted),
            Column { is_flexible: true, .. } if room >= SHORTENED_MIN => Some(room),
            _ => None,
        };
        left = left.saturating_sub(widths[index].map_or(0, |width| width + GAP));
    }
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let line = |cell: &dyn Fn(&Column) -> String| {
        let mut line = String::new();
        for (column, width) in columns.iter().zip(&widths) {
            if let Some(width) = width {
                column.write(&cell(column), *width, &mut line);
                line.push_str(&" ".repeat(GAP));
            }
        }
        format!("{}\n", line.trim_end())
    };
    let mut table = line(&|column| column.head.to_owned());
    for row in 0..rows {
        table.push_str(&line(&|column| column.cells[row].clone()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: usize) -> String {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).into_iter();
        render(
            &[
                Column::text("RUN", 0, cells(["1", "20"])),
                Column::text("POLICY", 1, cells(["nightly-of-the-north", "-"])).flexible(),
                Column::numbers("ROWS", 0, cells(["7", "1,000"])),
                Column::text("ACTOR", 2, cells(["dba@db1", "root"])),
            ],
            width,
        )
    }

    #[test]
    fn a_narrow_table_leaves_out_and_shortens() {
        assert_eq!(table(10), "RUN   ROWS\n1        7\n20   1,000\n");
        assert_eq!(table(24), "RUN  POLICY         ROWS\n1    nightly-of-…      7\n20   -             1,000\n");
        let wide = "RUN  POLICY                 ROWS  ACTOR\n1    nightly-of-the-north      7  dba@db1\n";
        assert!(table(80).starts_with(wide), "{}", table(80));
        for width in 10..60 {
            assert!(table(width).lines().all(|line| line.chars().count() <= width), "{width}");
        }
    }
}
