//! Numbers of 64 digits.

/// The digits in the order of their values, which is also that of their bytes.
const DIGITS: [u8; 64] = *b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Appends a number without zeros in front.
pub(super) fn write(value: u64, out: &mut Vec<u8>) {
    let count = (64 - value.leading_zeros()).div_ceil(6).max(1);
    for place in (0..count).rev() {
        let digit = (value >> (6 * place)) & 63;
        out.extend(DIGITS.get(digit as usize));
    }
}

/// Takes a number of at least one digit from the front. `None` where there is none, or a larger one
/// than the format has.
pub(super) fn take(rest: &mut &[u8]) -> Option<u32> {
    let mut value: Option<u32> = None;
    while let Some((byte, behind)) = rest.split_first() {
        let Ok(digit) = DIGITS.binary_search(byte) else {
            break;
        };
        let shifted = value.unwrap_or(0).checked_mul(64)?;
        value = Some(shifted | u32::try_from(digit).ok()?);
        *rest = behind;
    }
    value
}
