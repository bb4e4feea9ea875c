//! The character classes of RFC 9110 §5.6 and RFC 3986 §2.

/// `tchar` (RFC 9110 §5.6.2).
pub(super) const fn is_tchar(byte: u8) -> bool {
    let mask = TCHARS[(byte >> 6 & 1) as usize];
    byte.is_ascii() && mask >> (byte & 63) & 1 == 1
}

/// A bit for each: heads are read and written byte by byte.
const TCHARS: [u64; 2] = {
    let (mut masks, mut byte) = ([0; 2], 0);
    while byte < 128 {
        if is_tchar_by_name(byte) {
            masks[(byte >> 6) as usize] |= 1 << (byte & 63);
        }
        byte += 1;
    }
    masks
};

const fn is_tchar_by_name(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// `token` (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_tchar(byte))
}

/// What a field value may contain (RFC 9110 §5.5): visible, obs-text, space and tab.
pub(super) const fn is_field_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// SP or HTAB.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `unreserved` and `sub-delims` (RFC 3986 §2.2, §2.3).
pub(super) const fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Without the SP and HTAB around it (OWS, RFC 9110 §5.6.3).
pub(super) fn trim_blank(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// The non-empty elements of a comma-separated list (RFC 9110 §5.6.1.2: empty ones are skipped).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim_blank)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_skips_empty_elements_and_blanks() {
        let elements: Vec<_> = list(b" , a ,\tb,,c d ,").collect();
        assert_eq!(elements, [&b"a"[..], b"b", b"c d"]);
        assert_eq!(list(b" , ,").count(), 0);
    }

    #[test]
    fn the_bits_say_what_the_names_say() {
        for byte in 0..=255 {
            assert_eq!(is_tchar(byte), is_tchar_by_name(byte), "{byte}");
        }
    }

    #[test]
    fn tokens_have_no_separators() {
        assert!(is_token(b"M-SEARCH"));
        for bad in [
            &b""[..],
            b"a b",
            b"a:b",
            b"a\x00",
            b"\xe9",
            b"a(b)",
            b"\"a\"",
        ] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
