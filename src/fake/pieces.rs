//! Where writes are cut apart.

use super::settings::Split;

/// The bytes in the pieces in which they are written.
pub(super) fn cut(bytes: &[u8], split: Split) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut at = 1;
    while at < rest.len() {
        if is_cut(rest, at, split) {
            let (piece, behind) = rest.split_at(at);
            pieces.push(piece);
            rest = behind;
            at = 0;
        }
        at += 1;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Is there a cut before this byte?
fn is_cut(bytes: &[u8], at: usize, split: Split) -> bool {
    let (before, behind) = bytes.split_at(at);
    let (Some(before), Some(behind)) = (before.last(), behind.first()) else {
        return false;
    };
    match split {
        Split::None => at >= LONGEST,
        Split::Every(count) => at >= count,
        Split::Utf8 => behind & 0b1100_0000 == 0b1000_0000,
        Split::LineEnds => matches!((before, behind), (b'\r' | b'\n', b'\n')),
    }
}

/// Bytes of a write that is not cut otherwise.
const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_where_it_is_said_and_are_the_whole() {
        for (text, split, want) in [
            ("", Split::None, vec![]),
            ("abc", Split::None, vec!["abc"]),
            ("abcde", Split::Every(2), vec!["ab", "cd", "e"]),
            ("abc", Split::Every(1), vec!["a", "b", "c"]),
            ("a\r\nb\n\nc", Split::LineEnds, vec!["a\r", "\nb\n", "\nc"]),
        ] {
            let pieces = cut(text.as_bytes(), split);
            let want: Vec<&[u8]> = want.into_iter().map(str::as_bytes).collect();
            assert_eq!(pieces, want, "{text:?} {split:?}");
        }
        let pieces = cut("aö😀".as_bytes(), Split::Utf8);
        assert_eq!(pieces.len(), 5);
        assert_eq!(pieces.concat(), "aö😀".as_bytes());
        let long = vec![0; 3 * LONGEST + 1];
        assert_eq!(cut(&long, Split::None).len(), 4);
    }
}
