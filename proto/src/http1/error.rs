//! What can be wrong with a message, and what that means for its sender.

use super::Response;

/// Why a message is refused.
///
/// Any of them ends the connection: after it nobody knows where the next message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More empty lines before the request line than are skipped.
    #[error("more than {max} empty lines before the request line", max = super::EMPTY_LINES_MAX)]
    EmptyLines,
    /// A line feed without a carriage return (RFC 9112 §2.2).
    #[error("line feed without a carriage return before it")]
    BareLf,
    /// A carriage return without a line feed (RFC 9112 §2.2).
    #[error("carriage return without a line feed after it")]
    BareCr,
    /// The first line is not `method SP target SP version` (RFC 9112 §3).
    #[error("the first line is no request line: method, target and version with one space between")]
    RequestLine,
    /// The method is no token (RFC 9110 §9.1).
    #[error("the method is no token")]
    MethodInvalid,
    /// RFC 9112 §3: a method longer than any that is implemented.
    #[error("method of {len} bytes, at most {max} are read", max = super::METHOD_BYTES_MAX)]
    MethodTooLong {
        /// Its length.
        len: usize,
    },
    /// The target has none of the four forms, or the wrong one for its method (RFC 9112 §3.2).
    #[error("the request target has no valid form for this method")]
    TargetInvalid,
    /// A byte that no target may contain (RFC 9112 §3.2).
    #[error("byte 0x{byte:02x} is not allowed in a request target, percent-encode it")]
    TargetByte {
        /// The offending byte.
        byte: u8,
    },
    /// The request line does not end within the limit of the head.
    #[error("request line longer than {limit} bytes")]
    TargetTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The version is not written `HTTP/d.d` (RFC 9112 §2.3).
    #[error("the version is not of the form HTTP/1.1")]
    VersionInvalid,
    /// A major version other than 1 (RFC 9110 §15.6.6).
    #[error("HTTP/{major}.{minor} is not supported, HTTP/1.1 is")]
    VersionUnsupported {
        /// Major version digit.
        major: u8,
        /// Minor version digit.
        minor: u8,
    },
    /// The first line of an answer is no status line (RFC 9112 §4).
    #[error("the answer does not begin with an HTTP/1.x status line")]
    StatusLine,
    /// A head longer than the limit.
    #[error("head longer than {limit} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// More field lines than the limit.
    #[error("more than {limit} header fields")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// A field line that is not `name: value` (RFC 9112 §5).
    #[error("malformed header field line {line}")]
    FieldInvalid {
        /// Which field line, counted from 1; 0 when not known.
        line: u32,
    },
    /// A field line that begins with white space: folding, long obsolete (RFC 9112 §5.2).
    #[error("header line {line} begins with white space, line folding is obsolete")]
    ObsoleteFold {
        /// Which field line, counted from 1.
        line: u32,
    },
    /// RFC 9112 §3.2: HTTP/1.1 needs `Host`.
    #[error("the Host field is missing")]
    HostMissing,
    /// RFC 9112 §3.2: more than one `Host`.
    #[error("more than one Host field")]
    HostRepeated,
    /// RFC 9112 §3.2: not `host [":" port]`.
    #[error("the Host field is no host with an optional port")]
    HostInvalid,
    /// RFC 9112 §6.3: both lengths.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndTransferEncoding,
    /// RFC 9110 §8.6: not one decimal number that fits 64 bits.
    #[error("Content-Length is not one decimal number")]
    ContentLengthInvalid,
    /// RFC 9110 §8.6: several lengths.
    #[error("more than one Content-Length")]
    ContentLengthRepeated,
    /// RFC 9112 §6.1: a transfer coding in an HTTP/1.0 message.
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    TransferEncodingInHttp10,
    /// RFC 9112 §6.1: not a list of codings, or chunked not exactly once and last.
    #[error("Transfer-Encoding must end in chunked, once and without parameters")]
    TransferEncodingInvalid,
    /// RFC 9112 §6.1: a coding other than chunked.
    #[error("unknown transfer coding, only chunked is implemented")]
    TransferEncodingUnknown,
    /// RFC 9112 §7.1: the size is no hexadecimal number that fits 64 bits.
    #[error("the chunk size is not a hexadecimal number of at most 64 bits")]
    ChunkSizeInvalid,
    /// RFC 9112 §7.1.1: malformed extension.
    #[error("malformed chunk extension")]
    ChunkExtensionInvalid,
    /// RFC 9112 §7.1.1: extensions over the bound.
    #[error("more than {max} bytes of chunk extensions", max = super::CHUNK_EXTENSION_BYTES_MAX)]
    ChunkExtensionTooLarge,
    /// RFC 9112 §7.1: the data is longer than its size said.
    #[error("no line end after the data of a chunk")]
    ChunkDataUnterminated,
    /// RFC 9112 §7.1.2: malformed trailer.
    #[error("malformed trailer field")]
    TrailerInvalid,
    /// RFC 9112 §7.1.2: trailers over the bound.
    #[error("more than {max} bytes of trailer fields", max = super::TRAILER_BYTES_MAX)]
    TrailerTooLarge,
    /// RFC 9110 §15.5.14.
    #[error("content longer than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// RFC 9110 §10.1.1: an expectation other than `100-continue`.
    #[error("unknown expectation, only 100-continue is implemented")]
    ExpectationUnknown,
    /// RFC 9110 §15.5.9: the request did not arrive in time. The caller has the clock.
    #[error("the request did not arrive in time")]
    Timeout,
    /// The connection ended before the first byte of an answer.
    #[error("the connection was closed before an answer")]
    NoResponse,
    /// The connection ended inside an answer (RFC 9112 §8).
    #[error("the connection was closed inside the answer")]
    Truncated,
    /// 101 without having asked for it (RFC 9110 §15.2.2).
    #[error("the server switched protocols without being asked")]
    UnexpectedUpgrade,
    /// Interim answers over the bound.
    #[error("more than {max} interim answers", max = super::INTERIM_RESPONSES_MAX)]
    TooManyInterimResponses,
}

impl Error {
    /// The status with which a server refuses a request that has this fault. What only an
    /// answer can have is 502: to the server's own client it is the upstream's fault.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Timeout => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::TargetTooLong { .. } => 414,
            Self::ExpectationUnknown => 417,
            Self::HeadTooLarge { .. } | Self::TooManyFields { .. } | Self::TrailerTooLarge => 431,
            Self::MethodTooLong { .. } | Self::TransferEncodingUnknown => 501,
            Self::VersionUnsupported { .. } => 505,
            Self::StatusLine
            | Self::NoResponse
            | Self::Truncated
            | Self::UnexpectedUpgrade
            | Self::TooManyInterimResponses => 502,
            _ => 400,
        }
    }

    /// The code of an error answer's JSON body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.status() {
            408 => "timeout",
            413 | 414 | 431 => "too_large",
            502 => "provider_error",
            _ => "invalid_request",
        }
    }

    /// The answer that says so: `{"error":{"code":…,"message":…}}`.
    #[must_use]
    pub fn response(&self) -> Response {
        // No message of this type has a character that JSON must escape.
        let body = format!(
            "{{\"error\":{{\"code\":\"{}\",\"message\":\"{self}\"}}}}",
            self.code()
        );
        Response::json(self.status(), body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<Error>() <= 32, "{}", size_of::<Error>());
    }

    #[test]
    fn an_error_answer_is_json_that_needs_no_escapes() {
        for error in [
            Error::RequestLine,
            Error::TargetByte { byte: b'"' },
            Error::HeadTooLarge { limit: 7 },
            Error::TrailerTooLarge,
        ] {
            let body = error.response().body;
            let text = String::from_utf8(body).unwrap();
            assert_eq!(text.matches('"').count(), 10, "{text}");
            assert!(!text.contains('\\'), "{text}");
        }
    }
}
