//! The chunked transfer coding (RFC 9112 §7.1).

use super::body::Step;
use super::syntax::{is_blank, is_field_value_byte, is_tchar};
use super::{CHUNK_EXTENSION_BYTES_MAX, Error, TRAILER_BYTES_MAX};

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends one chunk. No data writes nothing, since an empty chunk would be the last.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    write_chunk_of(out, &[data]);
}

/// Appends one chunk whose data is these parts, one behind the other.
pub fn write_chunk_of(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length == 0 {
        return;
    }
    out.reserve(length + 20);
    let mut line = [b'\n'; 20];
    let mut at = line.len() - 2;
    let mut left = length;
    while left > 0
        && let Some(digit) = line.get_mut(at - 1)
    {
        *digit = b"0123456789abcdef"[left & 0xf];
        left >>= 4;
        at -= 1;
    }
    line[line.len() - 2] = b'\r';
    out.extend_from_slice(line.get(at..).unwrap_or_default());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

/// Removes the coding.
///
/// It holds no bytes: data comes out as parts of the input. Extensions and trailers are checked
/// against the grammar, bounded and dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkDecoder {
    state: State,
    /// Of the size line: what it says so far. Of the data: what is still to come.
    size: u64,
    digits: u8,
    extension_bytes: u32,
    trailer_bytes: u32,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// BWS behind the size or an extension: only another extension may follow.
    BeforeSemicolon,
    ExtensionNameStart,
    ExtensionName,
    AfterExtensionName,
    ExtensionValueStart,
    ExtensionToken,
    Quoted,
    QuotedPair,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkDecoder {
    /// At the first byte of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
        }
    }

    /// Reads up to the next piece of data, the end of the body or the end of the input.
    ///
    /// # Errors
    ///
    /// What breaks the grammar or a bound. The decoder is of no use behind it.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Error> {
        let mut rest = input;
        loop {
            match (self.state, self.digits) {
                (State::Done, _) => break,
                (State::Size, 0) => {
                    if let Some((size, digits, behind)) = plain_size(rest) {
                        self.state = State::Data;
                        (self.size, self.digits) = (size, digits);
                        rest = behind;
                    }
                }
                (State::DataCr, _) => {
                    if let Some(behind) = rest.strip_prefix(b"\r\n") {
                        self.begin_size();
                        rest = behind;
                        continue;
                    }
                }
                _ => {}
            }
            if self.state == State::Data {
                let available = usize::try_from(self.size)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                let (data, behind) = rest.split_at(available);
                self.size -= available as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                if !data.is_empty() {
                    return Ok(Step {
                        consumed: input.len() - behind.len(),
                        data,
                    });
                }
            }
            let Some((&byte, behind)) = rest.split_first() else {
                break;
            };
            self.state = self.next(byte)?;
            rest = behind;
        }
        Ok(Step {
            consumed: input.len() - rest.len(),
            data: &[],
        })
    }

    /// Whether the body, trailers included, is whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes of the present chunk's data are still to come.
    #[must_use]
    pub const fn announced(&self) -> u64 {
        match self.state {
            State::Data => self.size,
            _ => 0,
        }
    }

    fn begin_size(&mut self) {
        self.state = State::Size;
        self.size = 0;
        self.digits = 0;
    }

    /// Byte by byte. Apart, so that a chunk that came whole does not drag this along.
    #[inline(never)]
    fn next(&mut self, byte: u8) -> Result<State, Error> {
        match self.state {
            State::Size | State::SizeLf => self.next_in_size(byte),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.begin_size();
                Ok(State::Size)
            }
            State::DataCr | State::DataLf => Err(Error::ChunkDataUnterminated),
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::EndLf => self.next_in_trailer(byte),
            State::Data | State::Done => Ok(self.state),
            _ => self.next_in_extension(byte),
        }
    }

    /// `chunk-size`: a number that fits 64 bits.
    fn next_in_size(&mut self, byte: u8) -> Result<State, Error> {
        if self.state == State::SizeLf {
            return match (byte, self.size) {
                (b'\n', 0) => Ok(State::TrailerStart),
                (b'\n', _) => Ok(State::Data),
                _ => Err(Error::BareCr),
            };
        }
        let digit = match (hex_digit(byte), byte) {
            (Some(digit), _) => digit,
            _ if self.digits == 0 => return Err(Error::ChunkSizeInvalid),
            (None, b'\r') => return Ok(State::SizeLf),
            (None, b'\n') => return Err(Error::BareLf),
            (None, b';') => return Ok(State::ExtensionNameStart),
            (None, b' ' | b'\t') => return Ok(State::BeforeSemicolon),
            (None, _) => return Err(Error::ChunkSizeInvalid),
        };
        if self.size >> 60 != 0 {
            return Err(Error::ChunkSizeInvalid);
        }
        // Zeros in front are allowed, but not without end.
        if self.digits == 16 {
            self.count_extension_byte()?;
        } else {
            self.digits += 1;
        }
        self.size = self.size << 4 | digit;
        Ok(State::Size)
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (§7.1.1)
    fn next_in_extension(&mut self, byte: u8) -> Result<State, Error> {
        self.count_extension_byte()?;
        let next = match (self.state, byte) {
            (State::ExtensionName | State::ExtensionToken | State::AfterQuoted, b'\r') => {
                State::SizeLf
            }
            (State::ExtensionNameStart | State::ExtensionName, _) if is_tchar(byte) => {
                State::ExtensionName
            }
            (State::ExtensionValueStart | State::ExtensionToken, _) if is_tchar(byte) => {
                State::ExtensionToken
            }
            (State::ExtensionNameStart | State::ExtensionValueStart, b' ' | b'\t') => self.state,
            (State::ExtensionName | State::AfterExtensionName, b'=') => State::ExtensionValueStart,
            (State::ExtensionName | State::AfterExtensionName, b' ' | b'\t') => {
                State::AfterExtensionName
            }
            (State::ExtensionValueStart, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::AfterQuoted,
            (State::Quoted, b'\\') => State::QuotedPair,
            (State::Quoted | State::QuotedPair, _) if is_field_value_byte(byte) => State::Quoted,
            (
                State::BeforeSemicolon
                | State::ExtensionName
                | State::AfterExtensionName
                | State::ExtensionToken
                | State::AfterQuoted,
                b';',
            ) => State::ExtensionNameStart,
            (State::BeforeSemicolon | State::ExtensionToken | State::AfterQuoted, _)
                if is_blank(byte) =>
            {
                State::BeforeSemicolon
            }
            _ => return Err(Error::ChunkExtensionInvalid),
        };
        Ok(next)
    }

    fn count_extension_byte(&mut self) -> Result<(), Error> {
        self.extension_bytes += 1;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(Error::ChunkExtensionTooLarge);
        }
        Ok(())
    }

    /// `*( field-line CRLF ) CRLF` (§7.1.2)
    fn next_in_trailer(&mut self, byte: u8) -> Result<State, Error> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Error::TrailerTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart | State::TrailerName, _) if is_tchar(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_field_value_byte(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::EndLf | State::TrailerLf, _) => Err(Error::BareCr),
            (_, b'\n') => Err(Error::BareLf),
            _ => Err(Error::TrailerInvalid),
        }
    }
}

fn hex_digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// The size of a chunk with data, how many digits say it, and what is behind its line: the quick
/// way for a line that is whole and nothing but a few digits, as nearly all are.
fn plain_size(input: &[u8]) -> Option<(u64, u8, &[u8])> {
    let mut size = 0;
    let mut digits = 0;
    let mut rest = input;
    loop {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        let digit = match hex_digit(byte) {
            Some(digit) => digit,
            None if byte == b'\r' && size > 0 => break,
            None => return None,
        };
        if digits == 8 {
            return None;
        }
        digits += 1;
        size = size << 4 | digit;
    }
    Some((size, digits, rest.strip_prefix(b"\n")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8]) -> Result<(Vec<u8>, usize, bool), Error> {
        let mut decoder = ChunkDecoder::new();
        let (mut body, mut at) = (Vec::new(), 0);
        while at < input.len() && !decoder.is_done() {
            let step = decoder.decode(&input[at..])?;
            body.extend_from_slice(step.data);
            at += step.consumed;
        }
        Ok((body, at, decoder.is_done()))
    }

    #[test]
    fn written_chunks_are_read_back() {
        for length in [0, 1, 9, 15, 16, 255, 256, 4095, 4096, 65_536] {
            let data = vec![b'x'; length];
            let (half, rest) = data.split_at(length / 2);
            let mut written = b"before".to_vec();
            write_chunk_of(&mut written, &[half, b"", rest]);
            let mut want = b"before".to_vec();
            if length > 0 {
                want.extend_from_slice(format!("{length:x}\r\n").as_bytes());
                want.extend_from_slice(&data);
                want.extend_from_slice(b"\r\n");
            }
            assert_eq!(written, want, "{length}");
            let mut whole = written.split_off(6);
            whole.extend_from_slice(LAST_CHUNK);
            assert_eq!(decode(&whole), Ok((data, whole.len(), true)));
        }
    }

    #[test]
    fn valid_bodies_are_decoded() {
        for (input, want) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"000\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (b"00000000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5;a\r\nhello\r\n0\r\n\r\n", b"hello"),
            (
                b"5 ; a\t=\tb ;c=\"\\\"d; \xff\" ;e\r\nhello\r\n0;f=g\r\n\r\n",
                b"hello",
            ),
            (b"5;a=\"\"\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\nZ:\r\n\r\n", b"ab"),
            (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        ] {
            let whole = [input, b"NEXT"].concat();
            let got = decode(&whole);
            assert_eq!(
                got,
                Ok((want.to_vec(), input.len(), true)),
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn invalid_bodies_are_refused() {
        use Error as E;
        for (input, want) in [
            (&b"\r\n"[..], E::ChunkSizeInvalid),
            (b" 5\r\n", E::ChunkSizeInvalid),
            (b"0x5\r\n", E::ChunkSizeInvalid),
            (b"+5\r\n", E::ChunkSizeInvalid),
            (b"-1\r\n", E::ChunkSizeInvalid),
            (b"1_0\r\n", E::ChunkSizeInvalid),
            (b"g\r\n", E::ChunkSizeInvalid),
            (b"10000000000000000\r\n", E::ChunkSizeInvalid),
            (b"00FFFFFFFFFFFFFFFFF\r\n", E::ChunkSizeInvalid),
            (b"FFFFFFFFFFFFFFFF0\r\n", E::ChunkSizeInvalid),
            (b"5\nhello", E::BareLf),
            (b"5\rhello", E::BareCr),
            (b"5 \r\nhello", E::ChunkExtensionInvalid),
            (b"5 5\r\nhello", E::ChunkExtensionInvalid),
            (b"5;\r\nhello", E::ChunkExtensionInvalid),
            (b"5;\nhello", E::ChunkExtensionInvalid),
            (b"5;a \r\n", E::ChunkExtensionInvalid),
            (b"5;a=\r\n", E::ChunkExtensionInvalid),
            (b"5;a=b \r\n", E::ChunkExtensionInvalid),
            (b"5;a=b c\r\n", E::ChunkExtensionInvalid),
            (b"5;a=\"b\r\n", E::ChunkExtensionInvalid),
            (b"5;a=\"b\"c\r\n", E::ChunkExtensionInvalid),
            (b"5;a=\"\\\x01\"\r\n", E::ChunkExtensionInvalid),
            (b"5;a[=b\r\n", E::ChunkExtensionInvalid),
            (b"5;;a\r\n", E::ChunkExtensionInvalid),
            (b"5;\x00a\r\n", E::ChunkExtensionInvalid),
            (b"5;a\rX\r\n", E::BareCr),
            (b"5\r\nhello\n0", E::ChunkDataUnterminated),
            (b"5\r\nhello0", E::ChunkDataUnterminated),
            (b"5\r\nhello\r0", E::ChunkDataUnterminated),
            (b"5\r\nhello!!\r\n", E::ChunkDataUnterminated),
            (b"0\r\n\n", E::BareLf),
            (b"0\r\n\rX", E::BareCr),
            (b"0\r\n a: b\r\n", E::TrailerInvalid),
            (b"0\r\na : b\r\n", E::TrailerInvalid),
            (b"0\r\n: b\r\n", E::TrailerInvalid),
            (b"0\r\na\r\n", E::TrailerInvalid),
            (b"0\r\na: \x00\r\n", E::TrailerInvalid),
            (b"0\r\na: b\n", E::BareLf),
            (b"0\r\na: b\rc", E::BareCr),
        ] {
            assert_eq!(decode(input), Err(want), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension =
            |len: usize| [b"1;", "a".repeat(len).as_bytes(), b"\r\na\r\n0\r\n\r\n"].concat();
        // The carriage return counts too.
        let most = CHUNK_EXTENSION_BYTES_MAX as usize - 1;
        assert!(decode(&extension(most)).is_ok());
        assert_eq!(
            decode(&extension(most + 1)),
            Err(Error::ChunkExtensionTooLarge)
        );
        let many = b"1;a\r\na\r\n".repeat(CHUNK_EXTENSION_BYTES_MAX as usize);
        assert_eq!(decode(&many), Err(Error::ChunkExtensionTooLarge));
        let zeros = "0".repeat(CHUNK_EXTENSION_BYTES_MAX as usize + 17);
        assert_eq!(decode(zeros.as_bytes()), Err(Error::ChunkExtensionTooLarge));
        let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(2000)].concat();
        assert_eq!(decode(&trailers), Err(Error::TrailerTooLarge));
    }

    #[test]
    fn a_written_chunk_has_its_size_in_front() {
        for (len, size) in [(1, "1"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000")] {
            let mut out = Vec::new();
            write_chunk(&mut out, &vec![b'x'; len]);
            let want = format!("{size}\r\n{}\r\n", "x".repeat(len));
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        let mut out = Vec::new();
        write_chunk(&mut out, b"");
        assert_eq!(out, b"");
    }
}
