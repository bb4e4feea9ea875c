//! UTF-8 in pieces: says at the first bad byte that no continuation can mend it.

/// The text was not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text is not valid UTF-8")]
pub struct InvalidUtf8;

/// Decodes UTF-8 that is cut anywhere. It holds the bytes of one unfinished character, at most
/// three, and fails as soon as they cannot begin one (RFC 6455 §8.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Utf8 {
    bytes: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Appends to `out` what `bytes` completes and keeps the beginning of a character.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] where nothing that follows could make the bytes valid.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut String) -> Result<(), InvalidUtf8> {
        while self.len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.extend(byte, out)?;
        }
        match str::from_utf8(bytes) {
            Ok(text) => out.push_str(text),
            Err(error) => {
                let (valid, tail) = bytes.split_at(error.valid_up_to());
                // `error_len` is `None` only for a beginning that could still become a character.
                if error.error_len().is_some() || tail.len() > self.bytes.len() {
                    return Err(InvalidUtf8);
                }
                out.push_str(str::from_utf8(valid).map_err(|_| InvalidUtf8)?);
                for (slot, byte) in self.bytes.iter_mut().zip(tail) {
                    *slot = *byte;
                    self.len += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether the text may end here.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Adds one byte to the unfinished character.
    fn extend(&mut self, byte: u8, out: &mut String) -> Result<(), InvalidUtf8> {
        let [a, b, c] = self.bytes;
        let mut character = [a, b, c, 0];
        let end = usize::from(self.len);
        *character.get_mut(end).ok_or(InvalidUtf8)? = byte;
        match str::from_utf8(character.get(..=end).ok_or(InvalidUtf8)?) {
            Ok(text) => {
                out.push_str(text);
                *self = Self::default();
            }
            Err(error) if error.error_len().is_none() => {
                let [a, b, c, _] = character;
                *self = Self {
                    bytes: [a, b, c],
                    len: self.len + 1,
                };
            }
            Err(_) => return Err(InvalidUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<String, InvalidUtf8> {
        let (mut utf8, mut out) = (Utf8::default(), String::new());
        for piece in pieces {
            utf8.push(piece, &mut out)?;
        }
        if utf8.is_complete() {
            Ok(out)
        } else {
            Err(InvalidUtf8)
        }
    }

    #[test]
    fn every_split_of_every_width_gives_the_text() {
        let text = "aé√\u{d7ff}\u{e000}\u{fffd}\u{ffff}😀\u{10ffff}z";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(
                    decode(&pieces).as_deref(),
                    Ok(text),
                    "cut at {first} and {second}"
                );
            }
        }
    }

    #[test]
    fn the_first_hopeless_byte_fails_however_it_comes() {
        // (bytes, length of the longest beginning that could still be mended)
        for (bytes, hopeful) in [
            (&b"\x80"[..], 0),
            (b"\xc0\xaf", 0),
            (b"\xc1\xbf", 0),
            (b"\xc3\x28", 1),
            (b"\xe0\x80\xaf", 1),
            (b"\xe0\x9f\xbf", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xed\xbf\xbf", 1),
            (b"\xe2\x82\x28", 2),
            (b"\xf0\x80\x80\xaf", 1),
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf0\x9f\x98\x28", 3),
            (b"\xf5\x80\x80\x80", 0),
            (b"\xfe", 0),
            (b"\xff", 0),
        ] {
            let (mut utf8, mut out) = (Utf8::default(), String::new());
            let failed_at = bytes
                .iter()
                .position(|byte| utf8.push(&[*byte], &mut out).is_err());
            assert_eq!(failed_at, Some(hopeful), "{bytes:x?} byte by byte");
            assert_eq!(decode(&[bytes]), Err(InvalidUtf8), "{bytes:x?} whole");
            assert_eq!(
                decode(&[b"ok", bytes]),
                Err(InvalidUtf8),
                "{bytes:x?} after text"
            );
        }
    }

    #[test]
    fn text_may_not_end_inside_a_character() {
        for bytes in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"ok\xf0"] {
            assert_eq!(decode(&[bytes]), Err(InvalidUtf8), "{bytes:x?}");
        }
    }
}
