//! Which body a message has: RFC 9112 §6.3, for both roles.

use super::syntax::{is_token, list, trim_blank};
use super::{Error, Fields, Version};

/// How the content of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes, often none.
    Length(u64),
    /// The chunked transfer coding (RFC 9112 §7.1).
    Chunked,
    /// Whatever comes until the connection ends. Answers only.
    UntilClose,
}

impl Framing {
    /// How an answer is delimited whose length is not known, to a client of this version: no
    /// transfer coding to HTTP/1.0 (RFC 9112 §6.1).
    #[must_use]
    pub const fn of_stream(version: Version) -> Self {
        match version {
            Version::Http11 => Self::Chunked,
            Version::Http10 => Self::UntilClose,
        }
    }
}

/// The message whose content is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request,
    /// An answer.
    Response {
        /// Its status.
        status: u16,
        /// What it answers.
        answers: Answers,
    },
}

/// What about a request decides on the body of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// `HEAD`: there is none.
    Head,
    /// `CONNECT`: after 2xx the connection is a tunnel.
    Connect,
    /// Anything else.
    #[default]
    Other,
}

/// Decides how the content of a message is delimited.
///
/// # Errors
///
/// What makes a request's length uncertain, with the status of its refusal. An answer is read
/// where the RFC tells how: its `Content-Length` may be repeated, and beside a
/// `Transfer-Encoding` it does not count.
pub fn framing(message: Message, version: Version, fields: &Fields) -> Result<Framing, Error> {
    if let Message::Response { status, answers } = message {
        // §6.3 (1) and (2)
        let never = matches!(status, 100..=199 | 204 | 304) || answers == Answers::Head;
        if never {
            return Ok(Framing::Length(0));
        }
        if answers == Answers::Connect && (200..300).contains(&status) {
            return Ok(Framing::UntilClose);
        }
    }
    let is_request = message == Message::Request;
    if fields.get_bytes("transfer-encoding").is_some() {
        // §6.3 (3): to accept both is to invite smuggling; a server may refuse, so it does.
        if is_request && fields.get_bytes("content-length").is_some() {
            return Err(Error::LengthAndTransferEncoding);
        }
        // §6.1: the framing of such a message is faulty. An answer is at least read: it is the
        // last one on its connection.
        if is_request && version == Version::Http10 {
            return Err(Error::TransferEncodingInHttp10);
        }
        // §6.3 (4)
        return transfer_coding(is_request, fields);
    }
    // §6.3 (5) to (8)
    match content_length(is_request, fields)? {
        Some(length) => Ok(Framing::Length(length)),
        None if is_request => Ok(Framing::Length(0)),
        None => Ok(Framing::UntilClose),
    }
}

#[inline(never)]
fn transfer_coding(is_request: bool, fields: &Fields) -> Result<Framing, Error> {
    let mut chunked = false;
    let mut unknown = false;
    let mut identity = false;
    let mut any = false;
    for coding in fields.get_all("transfer-encoding").flat_map(list) {
        any = true;
        let name = coding
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        let name = trim_blank(name);
        // §7.1: chunked once, last, and without parameters.
        if chunked || !is_token(name) {
            return Err(Error::TransferEncodingInvalid);
        }
        if name.eq_ignore_ascii_case(b"chunked") {
            if name.len() != coding.len() {
                return Err(Error::TransferEncodingInvalid);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"identity") && !is_request {
            identity = true;
        } else {
            unknown = true;
        }
    }
    match (any, unknown, chunked) {
        (false, _, _) => Err(Error::TransferEncodingInvalid),
        (true, true, _) => Err(Error::TransferEncodingUnknown),
        (true, false, true) => Ok(Framing::Chunked),
        // Only old servers name `identity`, and with it an answer ends with its connection.
        (true, false, false) if identity => Ok(Framing::UntilClose),
        (true, false, false) => Err(Error::TransferEncodingInvalid),
    }
}

fn content_length(is_request: bool, fields: &Fields) -> Result<Option<u64>, Error> {
    let mut found = None;
    for value in fields.get_all("content-length") {
        // RFC 9110 §8.6: equal ones may be taken for one. From a server that is harmless and
        // happens; a client has no reason to send it.
        for element in value.split(|&byte| byte == b',') {
            let length = decimal(trim_blank(element))?;
            match found {
                Some(_) if is_request => return Err(Error::ContentLengthRepeated),
                Some(other) if other != length => return Err(Error::ContentLengthRepeated),
                _ => found = Some(length),
            }
        }
    }
    Ok(found)
}

/// `1*DIGIT`. Leading zeros are allowed, signs and prefixes are not.
fn decimal(text: &[u8]) -> Result<u64, Error> {
    if text.is_empty() {
        return Err(Error::ContentLengthInvalid);
    }
    text.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10);
        digit
            .and_then(|digit| value.checked_mul(10)?.checked_add(u64::from(digit)))
            .ok_or(Error::ContentLengthInvalid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        lines
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect()
    }

    #[test]
    fn a_request_has_the_body_that_rfc_9112_6_3_gives_it() {
        use Error as E;
        const CL: &str = "Content-Length";
        const TE: &str = "Transfer-Encoding";
        for (lines, want) in [
            (&[][..], Ok(Framing::Length(0))),
            (&[(CL, "5")], Ok(Framing::Length(5))),
            (&[(CL, "005")], Ok(Framing::Length(5))),
            (
                &[(CL, "18446744073709551615")],
                Ok(Framing::Length(u64::MAX)),
            ),
            (
                &[(CL, "18446744073709551616")],
                Err(E::ContentLengthInvalid),
            ),
            (&[(CL, "")], Err(E::ContentLengthInvalid)),
            (&[(CL, "+5")], Err(E::ContentLengthInvalid)),
            (&[(CL, "-0")], Err(E::ContentLengthInvalid)),
            (&[(CL, "0x5")], Err(E::ContentLengthInvalid)),
            (&[(CL, "1_0")], Err(E::ContentLengthInvalid)),
            (&[(CL, "1 0")], Err(E::ContentLengthInvalid)),
            (&[(CL, "5.")], Err(E::ContentLengthInvalid)),
            (&[(CL, "5;")], Err(E::ContentLengthInvalid)),
            (&[(CL, "5,")], Err(E::ContentLengthInvalid)),
            (&[(CL, "5, 5")], Err(E::ContentLengthRepeated)),
            (&[(CL, "5"), (CL, "5")], Err(E::ContentLengthRepeated)),
            (&[(CL, "5"), (CL, "6")], Err(E::ContentLengthRepeated)),
            (
                &[(CL, "5"), ("content-length", "")],
                Err(E::ContentLengthInvalid),
            ),
            (&[(TE, "chunked")], Ok(Framing::Chunked)),
            (&[(TE, "CHUNKED")], Ok(Framing::Chunked)),
            (&[(TE, ", chunked ,")], Ok(Framing::Chunked)),
            (&[(TE, ""), (TE, "chunked")], Ok(Framing::Chunked)),
            (
                &[(TE, "chunked"), (CL, "5")],
                Err(E::LengthAndTransferEncoding),
            ),
            (&[(TE, ""), (CL, "5")], Err(E::LengthAndTransferEncoding)),
            (&[(TE, "")], Err(E::TransferEncodingInvalid)),
            (&[(TE, "chunked, chunked")], Err(E::TransferEncodingInvalid)),
            (
                &[(TE, "chunked"), (TE, "chunked")],
                Err(E::TransferEncodingInvalid),
            ),
            (&[(TE, "chunked, gzip")], Err(E::TransferEncodingInvalid)),
            (&[(TE, "chunked;a=b")], Err(E::TransferEncodingInvalid)),
            (&[(TE, "\"chunked\"")], Err(E::TransferEncodingInvalid)),
            (&[(TE, "chunked gzip")], Err(E::TransferEncodingInvalid)),
            (&[(TE, "gzip, chunked")], Err(E::TransferEncodingUnknown)),
            (
                &[(TE, "gzip"), (TE, "chunked")],
                Err(E::TransferEncodingUnknown),
            ),
            (
                &[(TE, "gzip;q=1, chunked")],
                Err(E::TransferEncodingUnknown),
            ),
            (&[(TE, "identity")], Err(E::TransferEncodingUnknown)),
            (&[(TE, "xchunked")], Err(E::TransferEncodingUnknown)),
            (&[(TE, "chunkedchunked")], Err(E::TransferEncodingUnknown)),
        ] {
            let got = framing(Message::Request, Version::Http11, &fields(lines));
            assert_eq!(got, want, "{lines:?}");
        }
        let got = framing(
            Message::Request,
            Version::Http10,
            &fields(&[(TE, "chunked")]),
        );
        assert_eq!(got, Err(E::TransferEncodingInHttp10));
    }

    #[test]
    fn an_answer_has_the_body_that_rfc_9112_6_3_gives_it() {
        const CL: &str = "Content-Length";
        const TE: &str = "Transfer-Encoding";
        let (head, connect, other) = (Answers::Head, Answers::Connect, Answers::Other);
        for (status, answers, lines, want) in [
            (200, other, &[][..], Ok(Framing::UntilClose)),
            (200, other, &[(CL, "5")], Ok(Framing::Length(5))),
            (
                200,
                other,
                &[(CL, "5, 5"), (CL, "5")],
                Ok(Framing::Length(5)),
            ),
            (
                200,
                other,
                &[(CL, "5, 6")],
                Err(Error::ContentLengthRepeated),
            ),
            (200, other, &[(CL, "x")], Err(Error::ContentLengthInvalid)),
            (
                200,
                other,
                &[(CL, "5"), (TE, "chunked")],
                Ok(Framing::Chunked),
            ),
            (200, other, &[(TE, "identity")], Ok(Framing::UntilClose)),
            (
                200,
                other,
                &[(TE, "identity"), (CL, "5")],
                Ok(Framing::UntilClose),
            ),
            (
                200,
                other,
                &[(TE, "gzip, chunked")],
                Err(Error::TransferEncodingUnknown),
            ),
            (204, other, &[(CL, "5")], Ok(Framing::Length(0))),
            (304, other, &[(CL, "5")], Ok(Framing::Length(0))),
            (100, other, &[(TE, "chunked")], Ok(Framing::Length(0))),
            (200, head, &[(CL, "5")], Ok(Framing::Length(0))),
            (404, head, &[(TE, "chunked")], Ok(Framing::Length(0))),
            (200, connect, &[(CL, "5")], Ok(Framing::UntilClose)),
            (407, connect, &[(CL, "5")], Ok(Framing::Length(5))),
        ] {
            let message = Message::Response { status, answers };
            let got = framing(message, Version::Http11, &fields(lines));
            assert_eq!(got, want, "{status} {answers:?} {lines:?}");
        }
    }
}
