//! Writing JSON where its order matters to readers, or its cost.

use lmserver_runtime::event::write_json_string;

/// Appends a string.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    write_json_string(text, out);
}

/// Appends a string, or null.
pub(crate) fn text_or_null(value: Option<&str>, out: &mut Vec<u8>) {
    match value {
        Some(value) => text(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a number.
pub(crate) fn number(mut number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b"0123456789"[usize::try_from(number % 10).unwrap_or(0)]);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Appends the items, with commas between them.
pub(crate) fn list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_all_their_digits() {
        for n in [0, 7, 10, 1_763_856_000, u64::MAX] {
            let mut out = b"x".to_vec();
            number(n, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{n}"));
        }
    }
}
