//! The client's side of one exchange: a request out, its answer in.
//!
//! # Contract
//!
//! - After each [`Exchange::feed`] the caller drains [`Exchange::next_event`] to `None`.
//! - The content is given out as it arrives, without its transfer coding, as parts of the buffer
//!   into which it was fed. Nothing is kept of it, so its length has no limit here.
//! - Interim answers (1xx) are read past, trailers are checked and dropped.
//! - When the connection ends the caller asks [`Exchange::closed`] what that means: the end of an
//!   answer, or of the hope for one.
//!
//! ```
//! use lmserver_proto::http1::client::{Exchange, ResponseEvent, write_request};
//! use lmserver_proto::http1::{Limits, Method};
//!
//! let mut out = Vec::new();
//! write_request(&mut out, &Method::Get, "/v1/models", "api.example", [("Accept", "*/*")], b"");
//! assert!(out.starts_with(b"GET /v1/models HTTP/1.1\r\nHost: api.example\r\n"));
//!
//! let mut exchange = Exchange::new(&Method::Get);
//! exchange.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
//! while let Some(event) = exchange.next_event(&Limits::default())? {
//!     match event {
//!         ResponseEvent::Head(head) => assert_eq!(head.status, 200),
//!         ResponseEvent::Body(data) => assert_eq!(data, b"hi"),
//!         ResponseEvent::End { reusable } => assert!(reusable),
//!     }
//! }
//! # Ok::<(), lmserver_proto::http1::Error>(())
//! ```

use super::head::{Found, Kind, Search, read_response};
use super::request::keeps_alive;
use super::response::write_field;
use super::{
    Answers, Body, Error, Fields, Framing, INTERIM_RESPONSES_MAX, Limits, Message, Method, Version,
    framing,
};

/// A buffer above this size is not kept until more comes.
const KEPT_BYTES_MAX: usize = 512;

/// The answer to one request, as it arrives.
#[derive(Debug)]
pub struct Exchange {
    /// What was fed; up to `at` it is done with.
    buf: Vec<u8>,
    at: usize,
    state: State,
    answers: Answers,
    upgrade_wanted: bool,
    reusable: bool,
    interim: u8,
    received_any: bool,
}

#[derive(Debug)]
enum State {
    Head(Search),
    Body(Body),
    End,
    Done,
    Failed,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponseEvent<'a> {
    /// The head of the final answer.
    Head(ResponseHead),
    /// A piece of its content, never empty.
    Body(&'a [u8]),
    /// It is whole.
    End {
        /// Whether another request may follow on the connection.
        reusable: bool,
    },
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Its status.
    pub status: u16,
    /// The server's version.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl Exchange {
    /// An exchange whose request has this method.
    #[must_use]
    pub fn new(method: &Method) -> Self {
        let answers = match method {
            Method::Head => Answers::Head,
            Method::Connect => Answers::Connect,
            _ => Answers::Other,
        };
        Self {
            buf: Vec::new(),
            at: 0,
            state: State::Head(Search::START),
            answers,
            upgrade_wanted: false,
            reusable: false,
            interim: 0,
            received_any: false,
        }
    }

    /// With a request that asks for another protocol: 101 is its final answer, and the bytes
    /// behind it are [`Exchange::take_leftover`]'s.
    #[must_use]
    pub const fn with_upgrade(mut self) -> Self {
        self.upgrade_wanted = true;
        self
    }

    /// Takes what the socket gave.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.received_any |= !bytes.is_empty();
        if matches!(self.state, State::Failed) {
            return;
        }
        if matches!(self.state, State::Done) && !self.is_tunnel() {
            // RFC 9112 §6.3: what nobody asked for. The connection is not to be used again.
            self.reusable = false;
            return;
        }
        self.compact();
        if self.buf.capacity() == 0 {
            // The head is short, and what follows it is waited for: no moving then.
            self.buf.reserve(bytes.len().max(KEPT_BYTES_MAX));
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next thing that the bytes so far say.
    ///
    /// # Errors
    ///
    /// Why the answer cannot be understood. The connection is of no use behind it.
    pub fn next_event(&mut self, limits: &Limits) -> Result<Option<ResponseEvent<'_>>, Error> {
        match self.step(limits) {
            Ok(Stepped::Nothing) => Ok(None),
            Ok(Stepped::Head(head)) => Ok(Some(ResponseEvent::Head(head))),
            Ok(Stepped::Body { from, to }) => Ok(Some(ResponseEvent::Body(
                self.buf.get(from..to).unwrap_or_default(),
            ))),
            Ok(Stepped::End) => Ok(Some(ResponseEvent::End {
                reusable: self.reusable,
            })),
            Err(error) => {
                self.state = State::Failed;
                self.buf = Vec::new();
                self.at = 0;
                Err(error)
            }
        }
    }

    /// The connection has ended, and all events were drained. Some: that is the end of the
    /// answer. None: the answer had ended before.
    ///
    /// # Errors
    ///
    /// [`Error::NoResponse`] if not a byte had come: the request may be sent once more where that
    /// is safe. [`Error::Truncated`] if the answer is not whole (RFC 9112 §8).
    pub fn closed(&mut self) -> Result<Option<ResponseEvent<'static>>, Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Body(Body::UntilClose) | State::End => {
                self.state = State::Done;
                Ok(Some(ResponseEvent::End { reusable: false }))
            }
            State::Done => {
                self.state = State::Done;
                self.reusable = false;
                Ok(None)
            }
            State::Head(_) if !self.received_any => Err(Error::NoResponse),
            State::Head(_) | State::Body(_) | State::Failed => Err(Error::Truncated),
        }
    }

    /// The bytes behind the answer: of a tunnel or another protocol.
    #[must_use]
    pub fn take_leftover(&mut self) -> Vec<u8> {
        self.compact();
        std::mem::take(&mut self.buf)
    }

    /// Whether a byte of an answer has come, be it an interim one.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.received_any
    }

    /// Whether the answer is whole and its end was told.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    const fn is_tunnel(&self) -> bool {
        self.upgrade_wanted || matches!(self.answers, Answers::Connect)
    }

    fn step(&mut self, limits: &Limits) -> Result<Stepped, Error> {
        loop {
            let rest = self.buf.get(self.at..).unwrap_or_default();
            match &mut self.state {
                State::Head(search) => match search.run(Kind::Response, rest, limits)? {
                    Found::Nothing => break,
                    Found::End {
                        head_bytes,
                        field_count,
                    } => {
                        let head = rest.get(..head_bytes).unwrap_or(rest);
                        let (version, status, fields) = read_response(head, field_count)?;
                        self.at += head_bytes;
                        if let Some(head) = self.accept_head(version, status, fields)? {
                            return Ok(Stepped::Head(head));
                        }
                    }
                },
                State::Body(_) if rest.is_empty() => break,
                State::Body(body) => {
                    let step = body.read(rest)?;
                    let (consumed, len) = (step.consumed, step.data.len());
                    self.at += consumed;
                    if body.is_done() {
                        self.state = State::End;
                    }
                    if len > 0 {
                        // The data is the last thing that a step consumes.
                        return Ok(Stepped::Body {
                            from: self.at - len,
                            to: self.at,
                        });
                    }
                    if consumed == 0 && !matches!(self.state, State::End) {
                        break;
                    }
                }
                State::End => {
                    self.state = State::Done;
                    // Bytes behind the answer answer nothing.
                    self.reusable &= self.at >= self.buf.len();
                    return Ok(Stepped::End);
                }
                State::Done | State::Failed => break,
            }
        }
        self.compact();
        Ok(Stepped::Nothing)
    }

    /// Decides what a head entails. None: it was an interim one.
    #[inline(never)]
    fn accept_head(
        &mut self,
        version: Version,
        status: u16,
        fields: Fields,
    ) -> Result<Option<ResponseHead>, Error> {
        if status == 101 {
            if !self.upgrade_wanted {
                return Err(Error::UnexpectedUpgrade);
            }
            self.state = State::End;
            return Ok(Some(ResponseHead {
                status,
                version,
                fields,
            }));
        }
        // RFC 9110 §15.2: a client reads past interim answers, unexpected ones too.
        if status < 200 {
            self.interim += 1;
            if self.interim > INTERIM_RESPONSES_MAX {
                return Err(Error::TooManyInterimResponses);
            }
            self.state = State::Head(Search::START);
            return Ok(None);
        }
        let framing = framing(
            Message::Response {
                status,
                answers: self.answers,
            },
            version,
            &fields,
        )?;
        // RFC 9112 §6.1, §6.3: where the framing is doubtful, the connection is not used again.
        let has_coding = fields.get_bytes("transfer-encoding").is_some();
        let doubtful = has_coding
            && (version == Version::Http10 || fields.get_bytes("content-length").is_some());
        self.reusable =
            keeps_alive(version, &fields) && framing != Framing::UntilClose && !doubtful;
        let body = Body::new(framing);
        let tunnel = self.answers == Answers::Connect && status < 300;
        // A tunnel's bytes are no content: they are left over.
        self.state = if body.is_done() || tunnel {
            State::End
        } else {
            State::Body(body)
        };
        Ok(Some(ResponseHead {
            status,
            version,
            fields,
        }))
    }

    fn compact(&mut self) {
        if self.at >= self.buf.len() {
            if self.buf.capacity() > KEPT_BYTES_MAX {
                self.buf = Vec::new();
            } else {
                self.buf.clear();
            }
        } else if self.at > 0 {
            self.buf.drain(..self.at);
        }
        self.at = 0;
    }
}

/// An event without its borrow.
enum Stepped {
    Nothing,
    Head(ResponseHead),
    Body { from: usize, to: usize },
    End,
}

/// Writes a whole request.
///
/// `Host` comes first (RFC 9110 §7.2), then the fields, which must not hold `Host` or a length.
/// `Content-Length` is written where there is content or the method suggests it (§8.6). What may
/// not stand in a target is percent-encoded, what may not stand in a value becomes a space.
pub fn write_request<'a>(
    out: &mut Vec<u8>,
    method: &Method,
    target: &str,
    host: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) {
    out.reserve(body.len() + target.len() + 256);
    write_request_line(out, method, target);
    write_field(out, "Host", host.as_bytes());
    for (name, value) in fields {
        write_field(out, name, value.as_bytes());
    }
    write_content(out, method, body);
}

/// Writes a whole request whose fields but `Content-Length` are written already, as [`write_field`]
/// does it: `Host` first, then the others. It is for who sends the same fields again and again.
pub fn write_request_of(
    out: &mut Vec<u8>,
    method: &Method,
    target: &str,
    lines: &[&[u8]],
    body: &[u8],
) {
    let fields: usize = lines.iter().map(|lines| lines.len()).sum();
    out.reserve(body.len() + target.len() + fields + 64);
    write_request_line(out, method, target);
    for lines in lines {
        out.extend_from_slice(lines);
    }
    write_content(out, method, body);
}

fn write_request_line(out: &mut Vec<u8>, method: &Method, target: &str) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    let may_stand = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if target.bytes().all(may_stand) {
        out.extend_from_slice(target.as_bytes());
    } else {
        for byte in target.bytes() {
            if may_stand(byte) {
                out.push(byte);
            } else {
                crate::percent::encode_byte(byte, out);
            }
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The length, the end of the head, and the content.
fn write_content(out: &mut Vec<u8>, method: &Method, body: &[u8]) {
    if !body.is_empty() || matches!(method, Method::Post | Method::Put | Method::Patch) {
        write_field(out, "Content-Length", body.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}
