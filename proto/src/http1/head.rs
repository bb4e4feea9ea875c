//! Finding the end of a head, and reading it.
//!
//! A head is searched for its end as it arrives, each byte once; the search refuses what cannot
//! become a head, so that a peer learns at once. Only a whole head is then read.

use super::syntax::{is_blank, is_field_value_byte, is_tchar, is_token};
use super::{
    EMPTY_LINES_MAX, Error, Fields, Limits, METHOD_BYTES_MAX, Method, Request, Target, Version,
    is_valid_authority,
};

/// Which kind of head is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// A search for the end of a head. Offsets count from the head's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// Where to go on.
    at: u32,
    /// Where the current line begins.
    line: u32,
    /// Lines that ended so far.
    lines: u32,
}

/// How far the search came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More bytes are needed.
    Nothing,
    /// The head ends here; it has so many field lines.
    End {
        head_bytes: usize,
        field_count: usize,
    },
}

impl Search {
    /// At the first byte.
    pub(super) const START: Self = Self {
        at: 0,
        line: 0,
        lines: 0,
    };

    /// Goes on with the search; `head` is all that came of it so far.
    ///
    /// The first line of a head that came whole is not looked at: reading the head does it.
    pub(super) fn run(&mut self, kind: Kind, head: &[u8], limits: &Limits) -> Result<Found, Error> {
        let is_first = self.lines == 0;
        let found = self.go_on(kind, head, limits);
        if is_first && self.lines > 0 && !matches!(found, Ok(Found::End { .. })) {
            check_first_line(kind, head)?;
        }
        found
    }

    fn go_on(&mut self, kind: Kind, head: &[u8], limits: &Limits) -> Result<Found, Error> {
        // Behind the limit nothing is looked at, so that a cut cannot change the verdict.
        let limit = limits.head_bytes.min(u32::MAX as usize);
        let window = head.get(..limit).unwrap_or(head);
        if self.lines == 0 {
            check_start(kind, window)?;
        }
        loop {
            let rest = window.get(self.at as usize..).unwrap_or_default();
            let Some(offset) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.at = position(window.len());
                break;
            };
            let end = self.at as usize + offset;
            match (window.get(end), window.get(end + 1)) {
                (Some(b'\n'), _) => return Err(Error::BareLf),
                (_, Some(b'\n')) => {}
                (_, Some(_)) => return Err(Error::BareCr),
                (_, None) => {
                    self.at = position(end);
                    break;
                }
            }
            let line = window.get(self.line as usize..end).unwrap_or_default();
            if line.is_empty() {
                let field_count = (self.lines as usize).saturating_sub(1);
                return Ok(Found::End {
                    head_bytes: end + 2,
                    field_count,
                });
            }
            self.check_line(kind, line, limits)?;
            self.at = position(end + 2);
            self.line = self.at;
        }
        if window.len() < limit {
            return Ok(Found::Nothing);
        }
        Err(match (self.lines, kind) {
            (0, Kind::Request) if window.contains(&b' ') => Error::TargetTooLong { limit },
            (0, Kind::Request) => Error::RequestLine,
            _ => Error::HeadTooLarge { limit },
        })
    }

    /// Looks at a field line as soon as it ended.
    fn check_line(&mut self, kind: Kind, line: &[u8], limits: &Limits) -> Result<(), Error> {
        if self.lines as usize > limits.header_count {
            return Err(Error::TooManyFields {
                limit: limits.header_count,
            });
        }
        if self.lines > 0
            && line.first().copied().is_some_and(is_blank)
            // RFC 9112 §5.2: a server refuses, a user agent reads it as a space. Before the
            // first field there is nothing to continue (§2.2).
            && (kind == Kind::Request || self.lines == 1)
        {
            return Err(Error::ObsoleteFold { line: self.lines });
        }
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }
}

/// Empty lines in front of a request (RFC 9112 §2.2): how many bytes of them there are.
pub(super) fn empty_lines(input: &[u8], seen: &mut u8) -> Result<usize, Error> {
    let mut skipped = 0;
    while input
        .get(skipped..)
        .is_some_and(|rest| rest.starts_with(b"\r\n"))
    {
        *seen = seen.saturating_add(1);
        if *seen > EMPTY_LINES_MAX {
            return Err(Error::EmptyLines);
        }
        skipped += 2;
    }
    Ok(skipped)
}

/// Whether the first line, which has ended, can begin a head. Nothing behind it is told of before.
#[cold]
fn check_first_line(kind: Kind, head: &[u8]) -> Result<(), Error> {
    let (line, _) = split_line(head).unwrap_or_default();
    match kind {
        Kind::Request => read_request_line(line).map(|_| ()),
        Kind::Response => read_status_line(line).map(|_| ()),
    }
}

/// Whether the first bytes can begin a head: who speaks another protocol learns it at once.
fn check_start(kind: Kind, head: &[u8]) -> Result<(), Error> {
    match kind {
        Kind::Request => match head {
            [] | [b'\r'] => Ok(()),
            [b'\n', ..] => Err(Error::BareLf),
            [b'\r', ..] => Err(Error::BareCr),
            [first, ..] if !is_tchar(*first) => Err(Error::RequestLine),
            _ => Ok(()),
        },
        Kind::Response => {
            let len = head.len().min(5);
            match head.get(..len) {
                Some(start) if b"HTTP/".starts_with(start) => Ok(()),
                _ => Err(Error::StatusLine),
            }
        }
    }
}

/// Reads a whole request head: `head` ends with the empty line.
pub(super) fn read_request(head: &[u8], field_count: usize) -> Result<Request, Error> {
    let (line, rest) = split_line(head).ok_or(Error::RequestLine)?;
    let (method, target, version) = read_request_line(line)?;
    let fields = read_fields(rest, field_count)?;
    check_host(version, &fields)?;
    Ok(Request {
        method,
        target,
        version,
        fields,
    })
}

/// What the first line of a head says whose fields cannot be read.
pub(super) fn read_first_line(head: &[u8]) -> Option<Request> {
    let (line, _) = split_line(head)?;
    let (method, target, version) = read_request_line(line).ok()?;
    Some(Request {
        method,
        target,
        version,
        fields: Fields::default(),
    })
}

fn read_request_line(line: &[u8]) -> Result<(Method, Target, Version), Error> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::RequestLine);
    };
    if !is_token(method) {
        return Err(Error::MethodInvalid);
    }
    if method.len() > METHOD_BYTES_MAX {
        return Err(Error::MethodTooLong { len: method.len() });
    }
    // The version comes before the target: HTTP/2's preface has a target that 1.1 does not know.
    let version = read_version(version)?;
    let method = std::str::from_utf8(method).map_or(Err(Error::MethodInvalid), |m| Ok(m.into()))?;
    let target = Target::parse(&method, target)?;
    Ok((method, target, version))
}

/// `HTTP/DIGIT.DIGIT` in capitals (RFC 9112 §2.3).
fn read_version(text: &[u8]) -> Result<Version, Error> {
    let &[b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = text else {
        return Err(Error::VersionInvalid);
    };
    if !major.is_ascii_digit() || !minor.is_ascii_digit() {
        return Err(Error::VersionInvalid);
    }
    match (major, minor) {
        (b'1', b'0') => Ok(Version::Http10),
        // RFC 9110 §2.5: a higher minor version is treated as the highest that is known.
        (b'1', _) => Ok(Version::Http11),
        _ => Err(Error::VersionUnsupported {
            major: major - b'0',
            minor: minor - b'0',
        }),
    }
}

/// `HTTP-version SP status-code [SP reason]`. Servers that leave the second space out exist.
fn read_status_line(line: &[u8]) -> Result<(Version, u16), Error> {
    let (version, rest) = line.split_at_checked(8).ok_or(Error::StatusLine)?;
    let version = read_version(version).map_err(|_| Error::StatusLine)?;
    let (code, reason) = rest.split_at_checked(4).ok_or(Error::StatusLine)?;
    let &[b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = code else {
        return Err(Error::StatusLine);
    };
    let reason_is_valid = match reason {
        [] => true,
        [b' ', text @ ..] => text.iter().all(|&byte| is_field_value_byte(byte)),
        _ => false,
    };
    if !reason_is_valid {
        return Err(Error::StatusLine);
    }
    let digit = |byte: u8| u16::from(byte - b'0');
    Ok((version, digit(a) * 100 + digit(b) * 10 + digit(c)))
}

/// Reads a whole answer head: `head` ends with the empty line.
#[inline(never)]
pub(super) fn read_response(
    head: &[u8],
    field_count: usize,
) -> Result<(Version, u16, Fields), Error> {
    let (line, rest) = split_line(head).ok_or(Error::StatusLine)?;
    let (version, status) = read_status_line(line)?;
    let unfolded = unfold(rest);
    let fields = read_fields(unfolded.as_deref().unwrap_or(rest), field_count)?;
    Ok((version, status, fields))
}

/// RFC 9112 §5.2: a user agent replaces each fold by spaces. None where there is none.
fn unfold(lines: &[u8]) -> Option<Vec<u8>> {
    let is_fold = |at: &usize| {
        lines.get(at + 1) == Some(&b'\n') && lines.get(at + 2).copied().is_some_and(is_blank)
    };
    let folds: Vec<usize> = memchr::memchr_iter(b'\r', lines).filter(is_fold).collect();
    if folds.is_empty() {
        return None;
    }
    let mut unfolded = lines.to_vec();
    for fold in folds {
        for byte in unfolded.iter_mut().skip(fold).take(2) {
            *byte = b' ';
        }
    }
    Some(unfolded)
}

fn read_fields(lines: &[u8], count: usize) -> Result<Fields, Error> {
    const ON_STACK: usize = 32;
    let mut on_stack = [httparse::EMPTY_HEADER; ON_STACK];
    let mut on_heap = Vec::new();
    let room = if count <= ON_STACK {
        on_stack.as_mut_slice()
    } else {
        on_heap.resize(count, httparse::EMPTY_HEADER);
        on_heap.as_mut_slice()
    };
    match httparse::parse_headers(lines, room) {
        Ok(httparse::Status::Complete((len, headers))) if len == lines.len() => {
            let bytes = headers
                .iter()
                .map(|field| field.name.len() + field.value.len())
                .sum();
            let mut fields = Fields::with_capacity(headers.len(), bytes);
            for field in headers {
                fields.push(field.name, field.value);
            }
            Ok(fields)
        }
        _ => Err(Error::FieldInvalid {
            line: first_bad_line(lines),
        }),
    }
}

/// Which field line is wrong, for the message alone.
fn first_bad_line(lines: &[u8]) -> u32 {
    let mut rest = lines;
    let mut number = 0;
    while let Some((line, behind)) = split_line(rest) {
        number += 1;
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let value = line.get(name.len()..).unwrap_or_default();
        let value_is_valid = value.iter().all(|&byte| is_field_value_byte(byte));
        if !is_token(name) || value.is_empty() || !value_is_valid {
            return number;
        }
        rest = behind;
    }
    0
}

/// RFC 9112 §3.2: exactly one valid `Host`; HTTP/1.0 may have none.
fn check_host(version: Version, fields: &Fields) -> Result<(), Error> {
    let mut hosts = fields.get_all("host");
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Error::HostRepeated),
        (None, _) if version == Version::Http10 => Ok(()),
        (None, _) => Err(Error::HostMissing),
        (Some(host), None) => match std::str::from_utf8(host) {
            Ok(host) if is_valid_authority(host) => Ok(()),
            _ => Err(Error::HostInvalid),
        },
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr2(b'\r', b'\n', text)?;
    let (line, rest) = text.split_at_checked(end)?;
    Some((line, rest.strip_prefix(b"\r\n")?))
}

/// A window never exceeds 32 bits.
fn position(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
