//! Headers: their ten types of value, and how they lie one behind the other.

/// The value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Types 0 (true) and 1 (false).
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Integer(i32),
    /// Type 5.
    Long(i64),
    /// Type 6, at most 65,535 bytes.
    Bytes(&'a [u8]),
    /// Type 7, at most 65,535 bytes of UTF-8.
    String(&'a str),
    /// Type 8: milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

impl<'a> Value<'a> {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// What is wrong with a block of headers whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A header does not end within the block.
    #[error("a header is cut off")]
    CutOff,
    /// A header without a name.
    #[error("a header has no name")]
    NoName,
    /// A name, or a value of type 7, that is not UTF-8.
    #[error("a name or text is not UTF-8")]
    Utf8,
    /// A type that does not exist.
    #[error("a value has the unknown type {0}")]
    Type(u8),
}

/// The headers of a message, in the order in which they were sent.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Takes a block that [`check`] has passed.
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        take_header(&mut self.rest).ok().flatten()
    }
}

/// Walks through a block once.
pub(super) fn check(mut block: &[u8]) -> Result<(), Malformed> {
    while take_header(&mut block)?.is_some() {}
    Ok(())
}

/// Takes the first header off a block. None: it is empty.
fn take_header<'a>(block: &mut &'a [u8]) -> Result<Option<(&'a str, Value<'a>)>, Malformed> {
    if block.is_empty() {
        return Ok(None);
    }
    let [len] = take(block)?;
    if len == 0 {
        return Err(Malformed::NoName);
    }
    let name = text(take_slice(block, usize::from(len))?)?;
    let [kind] = take(block)?;
    let value = match kind {
        0 => Value::Bool(true),
        1 => Value::Bool(false),
        2 => Value::Byte(i8::from_be_bytes(take(block)?)),
        3 => Value::Short(i16::from_be_bytes(take(block)?)),
        4 => Value::Integer(i32::from_be_bytes(take(block)?)),
        5 => Value::Long(i64::from_be_bytes(take(block)?)),
        6 => Value::Bytes(take_counted(block)?),
        7 => Value::String(text(take_counted(block)?)?),
        8 => Value::Timestamp(i64::from_be_bytes(take(block)?)),
        9 => Value::Uuid(take(block)?),
        kind => return Err(Malformed::Type(kind)),
    };
    Ok(Some((name, value)))
}

fn take<const N: usize>(block: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (bytes, rest) = block.split_first_chunk().ok_or(Malformed::CutOff)?;
    *block = rest;
    Ok(*bytes)
}

fn take_slice<'a>(block: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (bytes, rest) = block.split_at_checked(len).ok_or(Malformed::CutOff)?;
    *block = rest;
    Ok(bytes)
}

fn take_counted<'a>(block: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = u16::from_be_bytes(take(block)?);
    take_slice(block, usize::from(len))
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_block_is_told_from_one_that_is_cut_off() {
        let cases: [(&[u8], Result<(), Malformed>); 13] = [
            (b"", Ok(())),
            (b"\x01a\x00", Ok(())),
            (b"\x01a\x07\x00\x00\x01b\x01", Ok(())),
            (b"\x00\x00", Err(Malformed::NoName)),
            (b"\x01", Err(Malformed::CutOff)),
            (b"\x02a\x00", Err(Malformed::CutOff)),
            (b"\x01a", Err(Malformed::CutOff)),
            (b"\x01a\x02", Err(Malformed::CutOff)),
            (b"\x01a\x05\0\0\0\0\0\0\0", Err(Malformed::CutOff)),
            (b"\x01a\x06\xff\xffb", Err(Malformed::CutOff)),
            (b"\x01a\x0a\x00", Err(Malformed::Type(10))),
            (b"\x01\xff\x00", Err(Malformed::Utf8)),
            (b"\x01a\x07\x00\x01\xff", Err(Malformed::Utf8)),
        ];
        for (block, want) in cases {
            assert_eq!(check(block), want, "{}", block.escape_ascii());
        }
    }
}
