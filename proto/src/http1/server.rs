//! The server's side of a connection: requests in, answers out, one after the other.
//!
//! ```text
//!            head whole, no body, or body whole
//!  +------+ ------------------------------------> +-----------+
//!  | Head |          +------+                     | Answering |
//!  |      | -------> | Body | ------------------> |           |
//!  +------+   head   +------+     body whole      +-----------+
//!      ^                                            |   |   |
//!      +--- respond, end_stream: keep alive --------+   |   +--> Upgraded (upgrade)
//!                                                       |
//!   any fault --> Closed <--- respond: last answer -----+
//! ```
//!
//! # Contract
//!
//! - After each [`Connection::feed`] the caller drains [`Connection::next_event`] to `None`, and
//!   again after each answer that keeps the connection, since pipelined requests may wait.
//! - The next request is not read before the last one is answered (RFC 9112 §9.3.2). Meanwhile at
//!   most [`PIPELINE_BYTES_MAX`] bytes are kept; who sends more is answered and disconnected.
//!   [`Connection::wants_bytes`] says when to stop reading the socket before that.
//! - After an error the caller writes an answer with [`Connection::reject`], stops sending, reads
//!   on for a moment, and closes (RFC 9112 §9.6): to close with unread bytes in the socket would
//!   reset the connection, and the answer could be lost.
//! - Between requests a connection owns no heap.
//!
//! ```
//! use lmserver_proto::http1::server::{Connection, Event};
//! use lmserver_proto::http1::{Limits, Response, imf_fixdate};
//!
//! let mut connection = Connection::new();
//! let mut out = Vec::new();
//! connection.feed(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
//! while let Some(event) = connection.next_event(&Limits::default())? {
//!     match event {
//!         Event::Continue => connection.write_continue(&mut out),
//!         Event::Request { head, .. } => {
//!             assert_eq!(head.path(), "/health");
//!             let kept = connection.respond(&Response::text(200, "OK"), &imf_fixdate(0), &mut out);
//!             assert!(kept);
//!         }
//!     }
//! }
//! assert!(out.starts_with(b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
//! assert!(connection.is_idle());
//! # Ok::<(), lmserver_proto::http1::Error>(())
//! ```

use super::head::{Found, Kind, Search, empty_lines, read_first_line, read_request};
use super::response::{HeadEnd, write_head, write_status_line};
use super::syntax::list;
use super::{
    Body, Error, Fields, Framing, Limits, Message, Method, Request, Response, Version, framing,
};

/// Bytes that are kept behind a request that is not answered yet.
pub const PIPELINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes behind an unanswered request from which on no more are wanted.
const PIPELINE_BYTES_ENOUGH: usize = 16 * 1024;

/// One connection of a client.
#[derive(Debug)]
pub struct Connection {
    /// What was fed; up to `at` it is done with.
    buf: Vec<u8>,
    at: usize,
    state: State,
    /// Of the last request whose head was read.
    version: Version,
    keep_alive: bool,
    head_only: bool,
    /// Empty lines so far in front of the next request.
    empty_lines: u8,
    /// The head of a request that was refused, or what of it could be read.
    refused: Option<Box<Request>>,
}

#[derive(Debug)]
enum State {
    Head(Search),
    Body(Box<Receiving>),
    Answering,
    Upgraded,
    Closed,
}

/// A request whose content is still arriving.
#[derive(Debug)]
struct Receiving {
    head: Request,
    body: Body,
    content: Vec<u8>,
}

/// What a client did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It waits for leave to send the content (RFC 9110 §10.1.1), which
    /// [`Connection::write_continue`] gives. Not yielded once content has come.
    Continue,
    /// A whole request. The next event comes after its answer.
    Request {
        /// Its head.
        head: Request,
        /// Its content.
        body: Vec<u8>,
    },
}

/// What must be known of a request to answer it: all that is left of a [`Connection`] while a
/// long answer is written by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answering {
    /// By which rules the client speaks.
    pub version: Version,
    /// May another request follow?
    pub keep_alive: bool,
    /// Was it `HEAD`?
    pub head_only: bool,
}

impl Default for Answering {
    fn default() -> Self {
        Connection::new().answering()
    }
}

impl Answering {
    /// As [`Connection::begin_stream`].
    pub fn begin_stream(&mut self, response: &Response, date: &str, out: &mut Vec<u8>) -> Framing {
        let mut connection = Connection::resume(*self);
        let framing = connection.begin_stream(response, date, out);
        *self = connection.answering();
        framing
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// A connection on which nothing has come.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buf: Vec::new(),
            at: 0,
            state: State::Head(Search::START),
            version: Version::Http11,
            keep_alive: true,
            head_only: false,
            empty_lines: 0,
            refused: None,
        }
    }

    /// A connection whose last request is still to be answered, as [`Connection::answering`]
    /// told it before.
    #[must_use]
    pub fn resume(answering: Answering) -> Self {
        let Answering {
            version,
            keep_alive,
            head_only,
        } = answering;
        Self {
            state: State::Answering,
            version,
            keep_alive,
            head_only,
            ..Self::new()
        }
    }

    /// What must be known of the last request to answer it, for whoever answers it later.
    #[must_use]
    pub const fn answering(&self) -> Answering {
        Answering {
            version: self.version,
            keep_alive: self.keep_alive,
            head_only: self.head_only,
        }
    }

    /// Takes what the socket gave.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Closed) {
            return;
        }
        if self.at > 0 {
            self.buf.drain(..self.at.min(self.buf.len()));
            self.at = 0;
        }
        if matches!(self.state, State::Answering)
            && self.buf.len().saturating_add(bytes.len()) > PIPELINE_BYTES_MAX
        {
            self.keep_alive = false;
            self.buf = Vec::new();
        }
        // Behind the last request of a connection nothing is read (RFC 9112 §9.6). An upgrade
        // keeps its connection, and its request says so.
        if matches!(self.state, State::Answering) && !self.keep_alive {
            return;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next thing that the bytes so far say.
    ///
    /// # Errors
    ///
    /// Why the client cannot be understood any further. To be answered with
    /// [`Connection::reject`]; later bytes are ignored.
    pub fn next_event(&mut self, limits: &Limits) -> Result<Option<Event>, Error> {
        let event = self.advance(limits);
        if event.is_err() {
            let head = self.take_unfinished();
            self.close();
            self.refused = head;
        } else if self.at >= self.buf.len() {
            self.buf = Vec::new();
            self.at = 0;
        }
        event
    }

    /// Writes the leave to send the content: `100 Continue`.
    pub fn write_continue(&mut self, out: &mut Vec<u8>) {
        write_status_line(out, 100);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the answer to the last request. False: close once it is sent.
    ///
    /// `HEAD` gets no body, 204 and 304 neither body nor length. Before a request is whole, the
    /// answer is the last one.
    pub fn respond(&mut self, response: &Response, date: &str, out: &mut Vec<u8>) -> bool {
        let keep_alive = self.may_keep_alive(response);
        let has_content = !matches!(response.status, 100..=199 | 204 | 304);
        let framing = has_content.then_some(Framing::Length(response.body.len() as u64));
        let end = HeadEnd {
            framing,
            keep_alive,
            version: self.version,
        };
        write_head(out, response, date, end);
        if has_content && !self.head_only {
            out.extend_from_slice(&response.body);
        }
        self.finish(keep_alive)
    }

    /// Writes the head of an answer whose content follows bit by bit; its body is not used.
    ///
    /// To [`Framing::Chunked`] the content goes through [`super::write_chunk`] and ends with
    /// [`super::LAST_CHUNK`]; to [`Framing::UntilClose`] it goes as it is; to
    /// [`Framing::Length`] (an answer to `HEAD`) there is none. Then [`Connection::end_stream`].
    pub fn begin_stream(&mut self, response: &Response, date: &str, out: &mut Vec<u8>) -> Framing {
        let framing = Framing::of_stream(self.version);
        self.keep_alive = self.may_keep_alive(response) && framing == Framing::Chunked;
        let end = HeadEnd {
            framing: Some(framing),
            keep_alive: self.keep_alive,
            version: self.version,
        };
        write_head(out, response, date, end);
        if self.head_only {
            Framing::Length(0)
        } else {
            framing
        }
    }

    /// The streamed answer is written to its end. False: close once it is sent.
    pub fn end_stream(&mut self) -> bool {
        let keep_alive = self.keep_alive && matches!(self.state, State::Answering);
        self.finish(keep_alive)
    }

    /// Writes a last answer: to an error ([`Error::response`]), a timeout or a request that was
    /// not wanted whole. Nothing further is read.
    pub fn reject(&mut self, response: &Response, date: &str, out: &mut Vec<u8>) {
        self.keep_alive = false;
        self.respond(response, date, out);
    }

    /// Writes 101 (RFC 9110 §7.8) with the fields given, `Connection` and `Upgrade` among them.
    /// What the client sends from here on belongs to [`Connection::take_leftover`]. False:
    /// the client sent more than is kept, close.
    #[must_use]
    pub fn upgrade(&mut self, response: &Response, date: &str, out: &mut Vec<u8>) -> bool {
        if !matches!(self.state, State::Answering) || !self.keep_alive {
            self.close();
            return false;
        }
        let end = HeadEnd {
            framing: None,
            keep_alive: true,
            version: Version::Http11,
        };
        write_head(out, response, date, end);
        self.state = State::Upgraded;
        true
    }

    /// The head of the request whose content is not whole, or was refused: for whoever writes the
    /// last answer. Of a head that is not whole, or was refused itself, the first line without any
    /// field. Nothing further is read.
    #[must_use]
    pub fn take_unfinished(&mut self) -> Option<Box<Request>> {
        if !matches!(self.state, State::Body(_)) {
            let is_head = matches!(self.state, State::Head(_));
            let rest = self.buf.get(self.at..).filter(|_| is_head);
            let first_line = || read_first_line(rest?).map(Box::new);
            return self.refused.take().or_else(first_line);
        }
        let State::Body(receiving) = std::mem::replace(&mut self.state, State::Answering) else {
            return None;
        };
        Some(Box::new(receiving.head))
    }

    /// The bytes behind the last request.
    #[must_use]
    pub fn take_leftover(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.buf);
        bytes.drain(..self.at.min(bytes.len()));
        self.at = 0;
        bytes
    }

    /// Whether it waits between requests, without a byte of the next one.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head(_)) && self.unread() == 0
    }

    /// Whether a head has begun and is not whole.
    #[must_use]
    pub fn is_receiving_head(&self) -> bool {
        matches!(self.state, State::Head(_)) && self.unread() > 0
    }

    /// Whether a head is whole and its content is not.
    #[must_use]
    pub fn is_receiving_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering)
    }

    /// Whether nothing further is read or written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether to read on. False while enough waits behind an unanswered request; who reads on
    /// nevertheless, to see the client go, may do so within [`PIPELINE_BYTES_MAX`].
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        match self.state {
            State::Closed => false,
            State::Answering => self.unread() < PIPELINE_BYTES_ENOUGH,
            State::Head(_) | State::Body(_) | State::Upgraded => true,
        }
    }

    fn unread(&self) -> usize {
        self.buf.len().saturating_sub(self.at)
    }

    fn advance(&mut self, limits: &Limits) -> Result<Option<Event>, Error> {
        if let State::Head(mut search) = self.state {
            if search == Search::START {
                let rest = self.buf.get(self.at..).unwrap_or_default();
                self.at += empty_lines(rest, &mut self.empty_lines)?;
            }
            let rest = self.buf.get(self.at..).unwrap_or_default();
            match search.run(Kind::Request, rest, limits)? {
                Found::Nothing => self.state = State::Head(search),
                Found::End {
                    head_bytes,
                    field_count,
                } => {
                    let head = read_request(rest.get(..head_bytes).unwrap_or(rest), field_count)?;
                    self.at += head_bytes;
                    return self.accept_head(head, limits);
                }
            }
        }
        if matches!(self.state, State::Body(_)) {
            return self.advance_body(limits);
        }
        Ok(None)
    }

    /// Decides what a head entails.
    fn accept_head(&mut self, head: Request, limits: &Limits) -> Result<Option<Event>, Error> {
        self.version = head.version;
        self.keep_alive = head.wants_keep_alive();
        self.head_only = head.method == Method::Head;
        self.empty_lines = 0;
        let (framing, waits) = match announced(&head, limits) {
            Ok(announced) => announced,
            Err(error) => {
                self.refused = Some(Box::new(head));
                return Err(error);
            }
        };
        if framing == Framing::Length(0) {
            self.state = State::Answering;
            return Ok(Some(Event::Request {
                head,
                body: Vec::new(),
            }));
        }
        let receiving = Receiving {
            head,
            body: Body::new(framing),
            content: Vec::new(),
        };
        self.state = State::Body(Box::new(receiving));
        // RFC 9110 §10.1.1: no leave for what has already come.
        if waits && self.unread() == 0 {
            return Ok(Some(Event::Continue));
        }
        self.advance_body(limits)
    }

    fn advance_body(&mut self, limits: &Limits) -> Result<Option<Event>, Error> {
        let State::Body(receiving) = &mut self.state else {
            return Ok(None);
        };
        loop {
            let rest = self.buf.get(self.at..).unwrap_or_default();
            let step = receiving.body.read(rest)?;
            self.at += step.consumed;
            let room = limits.body_bytes.saturating_sub(receiving.content.len());
            let come = (step.data.len() as u64).saturating_add(receiving.body.announced());
            if come > room as u64 {
                return Err(Error::BodyTooLarge {
                    limit: limits.body_bytes,
                });
            }
            receiving.content.extend_from_slice(step.data);
            if receiving.body.is_done() {
                break;
            }
            if step.consumed == 0 {
                return Ok(None);
            }
        }
        let State::Body(receiving) = std::mem::replace(&mut self.state, State::Answering) else {
            return Ok(None);
        };
        let Receiving { head, content, .. } = *receiving;
        Ok(Some(Event::Request {
            head,
            body: content,
        }))
    }

    fn may_keep_alive(&self, response: &Response) -> bool {
        self.keep_alive && !response.close && matches!(self.state, State::Answering)
    }

    fn finish(&mut self, keep_alive: bool) -> bool {
        if keep_alive {
            self.state = State::Head(Search::START);
            // What is refused next may have no method.
            self.head_only = false;
        } else {
            self.close();
        }
        keep_alive
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.keep_alive = false;
        self.buf = Vec::new();
        self.at = 0;
    }
}

/// What content a head announces, and whether the client waits for leave to send it.
fn announced(head: &Request, limits: &Limits) -> Result<(Framing, bool), Error> {
    let framing = framing(Message::Request, head.version, &head.fields)?;
    let waits = expects_continue(head.version, &head.fields)?;
    match framing {
        Framing::Length(length) if length > limits.body_bytes as u64 => Err(Error::BodyTooLarge {
            limit: limits.body_bytes,
        }),
        Framing::Length(_) | Framing::Chunked | Framing::UntilClose => Ok((framing, waits)),
    }
}

/// RFC 9110 §10.1.1: `100-continue` or nothing; of an HTTP/1.0 client it is ignored.
fn expects_continue(version: Version, fields: &Fields) -> Result<bool, Error> {
    if version == Version::Http10 {
        return Ok(false);
    }
    let mut waits = false;
    for expectation in fields.get_all("expect").flat_map(list) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Error::ExpectationUnknown);
        }
        waits = true;
    }
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(
            size_of::<Connection>() <= 128,
            "{}",
            size_of::<Connection>()
        );
    }
    #[test]
    fn a_connection_owns_no_heap_between_requests() {
        let limits = Limits::default();
        let mut connection = Connection::new();
        for request in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ] {
            for byte in request {
                connection.feed(&[*byte]);
                if connection.next_event(&limits).unwrap().is_some() {
                    assert_eq!(connection.buf.capacity(), 0, "while it is answered");
                    connection.respond(&Response::empty(204), "", &mut Vec::new());
                    connection.next_event(&limits).unwrap();
                }
            }
            assert!(connection.is_idle());
            assert_eq!(connection.buf.capacity(), 0);
        }
    }
}
