//! Percent-encoding (RFC 3986 §2.1) and the query strings made of it.
//!
//! A decoder never fails on a peer's text where it need not: the strict form says whether the
//! text was valid, the lossy one makes the best of it.

use std::borrow::Cow;

/// Decodes `%XX`. None: a percent sign without two hexadecimal digits, or a result that is not
/// UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    match decode_bytes(text) {
        (Cow::Borrowed(_), true) => Some(Cow::Borrowed(text)),
        (Cow::Owned(bytes), true) => String::from_utf8(bytes).ok().map(Cow::Owned),
        (_, false) => None,
    }
}

/// Decodes `%XX`, leaves a lone percent sign as it is, and replaces what is not UTF-8.
#[must_use]
pub fn decode_lossy(text: &str) -> Cow<'_, str> {
    match decode_bytes(text).0 {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        },
    }
}

/// Decodes to bytes; a lone percent sign stays, and the second value says that there was none.
#[must_use]
pub fn decode_bytes(text: &str) -> (Cow<'_, [u8]>, bool) {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr(b'%', bytes) else {
        return (Cow::Borrowed(bytes), true);
    };
    let (clean, mut rest) = bytes.split_at(first);
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(clean);
    let mut valid = true;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        match behind {
            [high, low, tail @ ..] if let (Some(h), Some(l)) = (digit(*high), digit(*low)) => {
                decoded.push(h << 4 | l);
                rest = tail;
            }
            _ => {
                valid = false;
                decoded.push(byte);
            }
        }
    }
    (Cow::Owned(decoded), valid)
}

/// Encodes all but the unreserved characters (RFC 3986 §2.3), so that the result may stand
/// anywhere in a path segment or a query.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, str> {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = Vec::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(byte);
        } else {
            encode_byte(byte, &mut encoded);
        }
    }
    // It is ASCII throughout.
    Cow::Owned(String::from_utf8(encoded).unwrap_or_default())
}

/// Appends `%XX`.
pub(crate) fn encode_byte(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
}

/// The pairs of a query, decoded as browsers and form encoders write them: `+` is a space, a
/// name without `=` has the empty value, and what is malformed is decoded as far as it goes.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name), decode_form(value))
        })
}

/// The first value of that name in a query.
#[must_use]
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query_pairs(query)
        .find(|(other, _)| other == name)
        .map(|(_, value)| value)
}

fn decode_form(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        Cow::Owned(decode_lossy(&text.replace('+', " ")).into_owned())
    } else {
        decode_lossy(text)
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_is_decoded() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("%41%62c", "Abc"),
            ("a%20b", "a b"),
            ("a+b", "a+b"),
            ("%C3%a9", "\u{e9}"),
            ("%2525", "%25"),
            ("%00", "\0"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(want), "{text}");
            assert_eq!(decode_lossy(text), want, "{text}");
        }
    }

    #[test]
    fn invalid_text_is_refused_or_mended() {
        for (text, mended) in [
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%%41", "%A"),
            ("a%ffb", "a\u{fffd}b"),
            ("%+1", "%+1"),
            ("%\u{e9}", "%\u{e9}"),
        ] {
            assert_eq!(decode(text), None, "{text}");
            assert_eq!(decode_lossy(text), mended, "{text}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for text in ["", "abc-._~", "a b&c=d/%", "\u{e9}\u{1f600}\0\r\n"] {
            let encoded = encode(text);
            assert!(encoded.bytes().all(|b| b.is_ascii_graphic()), "{encoded}");
            assert_eq!(decode(&encoded).as_deref(), Some(text));
        }
        assert_eq!(encode("chat:a/b"), "chat%3Aa%2Fb");
    }

    #[test]
    fn a_query_is_read_in_pairs() {
        let pairs: Vec<_> = query_pairs("a=1&&b&c=x+y%2B&=z&d=e=f&%61=2&bad=%").collect();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_ref(), v.as_ref()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("a", "1"),
                ("b", ""),
                ("c", "x y+"),
                ("", "z"),
                ("d", "e=f"),
                ("a", "2"),
                ("bad", "%")
            ]
        );
        assert_eq!(query_value("a=1&a=2", "a").as_deref(), Some("1"));
        assert_eq!(query_value("a=1", "b"), None);
        assert_eq!(query_pairs("").count(), 0);
    }
}
