//! Tables as docker's: columns of their own width, three blanks between them.

/// Blanks after the widest cell of a column.
const GAP: usize = 3;
/// The narrowest column, gap included.
const NARROWEST: usize = 10;

/// Aligns lines whose cells are separated by tabs. The last cell of a line belongs to no column.
pub fn align(lines: &str) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines.lines() {
        let mut cells = line.split('\t').peekable();
        let mut column = 0;
        while let Some(cell) = cells.next() {
            if cells.peek().is_none() {
                break;
            }
            let wanted = (width(cell) + GAP).max(NARROWEST);
            match widths.get_mut(column) {
                Some(known) => *known = wanted.max(*known),
                None => widths.push(wanted),
            }
            column += 1;
        }
    }
    let mut aligned = String::with_capacity(lines.len() * 2);
    for line in lines.lines() {
        let mut cells = line.split('\t').zip(&widths).peekable();
        let last = line.rsplit('\t').next().unwrap_or_default();
        let columns = line.matches('\t').count();
        for (cell, column) in cells.by_ref().take(columns) {
            aligned.push_str(cell);
            aligned.extend(std::iter::repeat_n(' ', column.saturating_sub(width(cell))));
        }
        aligned.push_str(last);
        aligned.push('\n');
    }
    aligned
}

/// Cuts `text` to `most` columns of a terminal, the last being `…` when something was cut.
pub fn ellipsis(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > most {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Columns of a terminal that `text` takes.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char_width).sum() }
}

/// Enough of Unicode's East Asian Width and combining marks for names and commands.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_ps() {
        let lines = "CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS\tNAMES\n\
                     0123456789ab\talpine\t\"sh\"\t2 minutes ago\tUp 2 minutes\t\tweb\n";
        let expected = "CONTAINER ID   IMAGE     COMMAND   CREATED         STATUS         PORTS     NAMES\n\
                        0123456789ab   alpine    \"sh\"      2 minutes ago   Up 2 minutes             web\n";
        assert_eq!(align(lines), expected);
    }

    #[test]
    fn wide_and_combining_characters() {
        assert_eq!(align("日本\tx\nab\ty\n"), "日本      x\nab        y\n");
        assert_eq!(width("e\u{301}日"), 3);
    }

    #[test]
    fn lines_of_different_length() {
        assert_eq!(align("a\n\nb\tc\td\n"), "a\n\nb         c         d\n");
        assert_eq!(align(""), "");
    }

    #[test]
    fn cutting() {
        assert_eq!(ellipsis("docker-entrypoint.sh", 20), "docker-entrypoint.sh");
        assert_eq!(ellipsis("docker-entrypoint.sh nginx", 20), "docker-entrypoint.s…");
        assert_eq!(ellipsis("日本語", 4), "日…");
    }
}
