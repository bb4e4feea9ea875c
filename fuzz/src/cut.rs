//! The same bytes in different pieces.

use std::fmt::Debug;

/// Inputs above this length are not read byte by byte.
const BYTEWISE_MAX: usize = 16 * 1024;

/// Reads the input whole and in pieces, and insists that all say the same.
pub fn same<T: PartialEq + Debug>(input: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[input]);
    let mut ways = vec![("two pieces", two(input)), ("uneven pieces", uneven(input))];
    if input.len() <= BYTEWISE_MAX {
        ways.push(("single bytes", input.chunks(1).collect()));
    }
    for (name, pieces) in ways {
        let got = read(&pieces);
        assert_eq!(
            got,
            whole,
            "{name} differ from the whole; lengths {:?}",
            lengths(&pieces)
        );
    }
    whole
}

/// Pieces of one byte to some hundred, mostly short, sometimes empty.
pub fn uneven(input: &[u8]) -> Vec<&[u8]> {
    let mut dice = Dice::of(input);
    let mut rest = input;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let most = [0, 1, 3, 9, 40, 300][dice.below(6)];
        let (piece, behind) = rest.split_at(dice.below(most + 1).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn two(input: &[u8]) -> Vec<&[u8]> {
    let (a, b) = input.split_at(Dice::of(input).below(input.len() + 1));
    vec![a, b]
}

fn lengths(pieces: &[&[u8]]) -> Vec<usize> {
    pieces.iter().map(|piece| piece.len()).collect()
}

/// Numbers that look random and follow from the input.
pub struct Dice(u64);

impl Dice {
    /// Begins at a hash of the input (FNV-1a).
    pub fn of(input: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(input.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }

    /// A number below `end` (splitmix64).
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap_or(0)
    }
}
