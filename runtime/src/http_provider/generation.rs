//! One generation over HTTP: the bytes of the connection, read down to outputs.
//!
//! ```text
//!   bytes ──► http1::client::Exchange ──► head: 2xx ──► content coding ──► Format ──► outputs
//!                                           │   3xx ──► error, never followed
//!                                           └ other ──► content coding ──► body ──► error
//! ```

use std::sync::Arc;

use lmserver_proto::http1::client::{Exchange, ResponseEvent, ResponseHead};
use lmserver_proto::http1::content_coding;
use lmserver_proto::http1::{self, Limits, Method, reason_phrase};

use crate::event::ErrorCode;
use crate::http_provider::error::{Hints, Speaker};
use crate::http_provider::hints;
use crate::http_provider::instance::Instance;
use crate::plugin::provider::{Generation, Output, ProviderError};

/// The answer to one request.
pub struct HttpGeneration {
    exchange: Exchange,
    reader: Reader,
}

/// The body of a 2xx answer, its content coding removed.
pub trait Format {
    /// Takes bytes, cut anywhere, and appends what they complete to `out`. After `End` it ignores
    /// them.
    ///
    /// # Errors
    ///
    /// What the provider reports, or a bound of this server. Nothing more is fed after it.
    fn feed(
        &mut self,
        bytes: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError>;

    /// The body is over, by its framing or because the connection is gone. Called once, and only
    /// while [`has_ended`](Self::has_ended) is false.
    ///
    /// # Errors
    ///
    /// `provider_truncated` unless this is a proper end, in which case `End` is in `out`.
    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError>;

    /// True once `End` is out.
    fn has_ended(&self) -> bool;
}

struct Reader {
    instance: Arc<Instance>,
    phase: Phase,
    /// Removes what the body was compressed with; none for a plain body.
    coding: Option<Box<content_coding::Decoder>>,
    format: Box<dyn Format>,
    is_reusable: bool,
    /// The peer does not keep to the protocol: nothing more of it is of use.
    is_broken: bool,
}

enum Phase {
    Head,
    /// The body is the format's.
    Answer {
        /// What may be no answer at all, until something comes of it.
        doubt: Option<Box<Doubt>>,
    },
    /// The body of an error, and how many more bytes of it are kept: [`MAX_REFUSAL`] in all.
    Refusal {
        hints: Hints,
        body: Vec<u8>,
        room: usize,
    },
    /// An error was reported; the rest of the body is read past.
    Failed,
}

/// A body that does not call itself a stream. Some servers misname theirs, so it is read as one all
/// the same; where nothing comes of it, its beginning shows what it was.
struct Doubt {
    media_type: Box<str>,
    /// At most [`MAX_BEGINNING`] bytes.
    beginning: Vec<u8>,
}

impl Doubt {
    fn about(content_type: &str) -> Option<Box<Self>> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is_stream = STREAMS
            .iter()
            .any(|stream| stream.eq_ignore_ascii_case(media_type));
        (!is_stream).then(|| {
            Box::new(Self {
                media_type: media_type.to_ascii_lowercase().into(),
                beginning: Vec::new(),
            })
        })
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_BEGINNING.saturating_sub(self.beginning.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.beginning.extend_from_slice(kept);
    }

    /// It begins with text that no stream begins with: neither a document, nor a comment, nor a
    /// field or half of its name.
    fn is_founded(&self) -> bool {
        let text = self.beginning.trim_ascii_start();
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let text = text.trim_ascii_start();
        let end = text
            .iter()
            .position(|byte| matches!(byte, b':' | b'\r' | b'\n'));
        let is_field = |name: &&[u8]| match end {
            Some(end) => text.get(..end) == Some(name),
            None => name.starts_with(text),
        };
        match text.first() {
            None | Some(..=b' ' | b':' | b'{' | b'[') => false,
            Some(_) => !FIELDS.iter().any(is_field),
        }
    }
}

impl HttpGeneration {
    /// The machine for one request to `instance`, whose answer `format` reads.
    #[must_use]
    pub fn new(instance: Arc<Instance>, format: Box<dyn Format>) -> Self {
        let reader = Reader {
            instance,
            phase: Phase::Head,
            coding: None,
            format,
            is_reusable: false,
            is_broken: false,
        };
        Self {
            exchange: Exchange::new(&Method::Post),
            reader,
        }
    }

    fn drain(&mut self, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        loop {
            match self.exchange.next_event(&LIMITS) {
                Ok(Some(event)) => self.reader.event(event, out)?,
                Ok(None) => return Ok(()),
                Err(error) => return self.reader.violation(&error, out),
            }
        }
    }
}

impl Generation for HttpGeneration {
    fn receive(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> Result<(), ProviderError> {
        let before = out.len();
        self.exchange.feed(bytes);
        let result = self.drain(out);
        // Whatever came of the answer, a comment or half an event, proves life.
        if out.len() == before && result.is_ok() && self.reader.is_answering() {
            out.push(Output::Alive);
        }
        self.reader.settle(result)
    }

    fn closed(&mut self, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        let result = match self.exchange.closed() {
            Ok(Some(event)) => self.reader.event(event, out),
            Ok(None) => Ok(()),
            Err(http1::Error::NoResponse) => Err(self.reader.speaker().own_error(
                ErrorCode::ProviderUnreachable,
                "closed the connection without an answer",
            )),
            Err(_) => self.reader.end_of_body(out),
        };
        self.reader.is_reusable = false;
        self.reader.settle(result)
    }

    fn is_reusable(&self) -> bool {
        self.reader.is_reusable && self.exchange.is_done()
    }

    fn wants_more(&self) -> bool {
        !self.exchange.is_done() && self.reader.has_ended() && !self.reader.is_broken
    }
}

impl Reader {
    fn speaker(&self) -> Speaker<'_> {
        self.instance.speaker()
    }

    fn event(
        &mut self,
        event: ResponseEvent<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        match event {
            ResponseEvent::Head(head) => self.head(&head),
            ResponseEvent::Body(bytes) => self.body(bytes, out),
            ResponseEvent::End { reusable } => {
                self.is_reusable = reusable;
                self.end_of_body(out)
            }
        }
    }

    #[inline(never)]
    fn head(&mut self, head: &ResponseHead) -> Result<(), ProviderError> {
        let speaker = self.instance.speaker();
        let content_type = head.fields.get("content-type").unwrap_or_default();
        if !(200..300).contains(&head.status)
            && let Some((name, id)) = request_id(head)
        {
            log::debug!("{} answered {}, {name}: {id}", speaker.host, head.status);
        }
        match head.status {
            200..=299 => {
                self.coding = coding(head).map_err(|error| {
                    speaker.own_error(ErrorCode::ProviderError, &format!("answered in an {error}"))
                })?;
                let doubt = Doubt::about(content_type);
                self.phase = Phase::Answer { doubt };
            }
            300..=399 => {
                // The key goes to the configured host only.
                let to = head
                    .fields
                    .get("location")
                    .map(without_query)
                    .unwrap_or_default();
                let what = format!(
                    "answered {} {}: redirects are not followed, set base_url to where it points{}{to}",
                    head.status,
                    reason_phrase(head.status),
                    if to.is_empty() { "" } else { ": " },
                );
                let error = speaker.own_error(ErrorCode::ProviderError, &what);
                return Err(ProviderError {
                    retryable: false,
                    ..error
                });
            }
            status => {
                let hints = hints::read(status, &head.fields);
                // A body that nobody can read is not kept; the status says enough.
                let readable = coding(head);
                let room = if readable.is_ok() { MAX_REFUSAL } else { 0 };
                self.coding = readable.ok().flatten();
                self.phase = Phase::Refusal {
                    hints,
                    body: Vec::new(),
                    room,
                };
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn body(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> Result<(), ProviderError> {
        let Some(mut coding) = self.coding.take() else {
            return self.content(bytes, out);
        };
        let mut plain = Vec::new();
        let mut rest = bytes;
        loop {
            plain.clear();
            let progress = coding.decode(rest, &mut plain);
            self.content(&plain, out)?;
            match progress {
                Ok(progress) => rest = rest.get(progress.consumed..).unwrap_or_default(),
                Err(error) => return self.violation(&error, out),
            }
            if !progress.is_ok_and(|progress| progress.more) {
                break;
            }
        }
        self.coding = Some(coding);
        Ok(())
    }

    /// Takes a piece of the body without its coding.
    fn content(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> Result<(), ProviderError> {
        match &mut self.phase {
            Phase::Answer { doubt } => {
                if let Some(doubted) = doubt {
                    doubted.add(bytes);
                }
                let before = out.len();
                let result = self.format.feed(bytes, self.instance.speaker(), out);
                if was_understood(out, before) {
                    *doubt = None;
                }
                result
            }
            Phase::Refusal { body, room, .. } => {
                // What does not fit would not be shown.
                let kept = bytes.get(..*room).unwrap_or(bytes);
                body.extend_from_slice(kept);
                *room -= kept.len();
                Ok(())
            }
            Phase::Head | Phase::Failed => Ok(()),
        }
    }

    /// The body is over, whether by its framing or because the connection is gone.
    fn end_of_body(&mut self, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        let speaker = self.instance.speaker();
        match &mut self.phase {
            Phase::Head => Err(speaker.own_error(
                ErrorCode::ProviderTruncated,
                "closed the connection inside the head of its answer",
            )),
            Phase::Answer { .. } if self.format.has_ended() => Ok(()),
            Phase::Answer { doubt } => {
                let before = out.len();
                let result = self.format.end(speaker, out);
                match (result, doubt) {
                    (Err(error), Some(doubt))
                        if error.code == ErrorCode::ProviderTruncated
                            && !was_understood(out, before)
                            && doubt.is_founded() =>
                    {
                        Err(speaker.foreign_error(&doubt.media_type, &doubt.beginning))
                    }
                    (result, _) => result,
                }
            }
            Phase::Refusal { hints, body, .. } => Err(speaker.body_error(body, hints)),
            Phase::Failed => Ok(()),
        }
    }

    /// The peer does not speak HTTP, or does not compress, as it should. What was complete before
    /// that counts.
    fn violation(
        &mut self,
        error: &dyn std::error::Error,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        self.is_reusable = false;
        self.is_broken = true;
        if matches!(self.phase, Phase::Refusal { .. }) {
            return self.end_of_body(out);
        }
        if self.has_ended() || (self.is_answering() && self.end_of_body(out).is_ok()) {
            return Ok(());
        }
        let what = format!("sent an answer that cannot be read: {error}");
        Err(self.speaker().own_error(ErrorCode::ProviderError, &what))
    }

    /// After an error nothing more is read out of the body.
    fn settle(&mut self, result: Result<(), ProviderError>) -> Result<(), ProviderError> {
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    fn is_answering(&self) -> bool {
        matches!(self.phase, Phase::Answer { .. }) && !self.format.has_ended()
    }

    fn has_ended(&self) -> bool {
        match self.phase {
            Phase::Answer { .. } => self.format.has_ended(),
            Phase::Failed => true,
            Phase::Head | Phase::Refusal { .. } => false,
        }
    }
}

/// Is there anything that the format knows among the outputs behind a place?
fn was_understood(out: &[Output], behind: usize) -> bool {
    let mut more = out.iter().skip(behind);
    more.any(|output| *output != Output::Unread)
}

/// What the body is compressed with, if anything.
fn coding(
    head: &ResponseHead,
) -> Result<Option<Box<content_coding::Decoder>>, content_coding::Error> {
    match head.fields.get("content-encoding") {
        None => Ok(None),
        field => content_coding::Decoder::new(field).map(|decoder| Some(Box::new(decoder))),
    }
}

/// The provider's own name for a request, which its support asks for.
fn request_id(head: &ResponseHead) -> Option<(&'static str, &str)> {
    [
        "x-request-id",
        "apim-request-id",
        "x-generation-id",
        "request-id",
        "mistral-correlation-id",
        "x-amzn-requestid",
    ]
    .into_iter()
    .find_map(|name| Some((name, head.fields.get(name)?)))
}

/// A query may hold what nobody should read.
fn without_query(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or_default()
}

/// Gateways add many fields; all the same there is an end to them.
const LIMITS: Limits = Limits {
    head_bytes: 64 * 1024,
    header_count: 256,
    body_bytes: usize::MAX,
};

/// Bytes of a doubtful body that are kept: its words stand behind a head of styles and scripts.
const MAX_BEGINNING: usize = 16 * 1024;

/// What streams call themselves.
const STREAMS: &[&str] = &[
    "text/event-stream",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
];

/// What lines of an event stream begin with.
const FIELDS: &[&[u8]] = &[b"data", b"event", b"id", b"retry", b"error"];

/// Bytes of an error's body that are read; JSON beyond is cut and shown as text.
const MAX_REFUSAL: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FinishReason;

    /// Letters are text, `.` is the end, `!` an error; all else says nothing.
    struct Letters {
        has_ended: bool,
    }

    impl Format for Letters {
        fn feed(
            &mut self,
            bytes: &[u8],
            speaker: Speaker<'_>,
            out: &mut Vec<Output>,
        ) -> Result<(), ProviderError> {
            for byte in bytes.iter().take_while(|_| !self.has_ended) {
                match byte {
                    b'!' => return Err(speaker.text_error(b"m")),
                    b'.' => out.push(Output::End {
                        finish_reason: FinishReason::Stop,
                        usage: None,
                    }),
                    letter if letter.is_ascii_lowercase() => {
                        out.push(Output::Chunk(char::from(*letter).to_string().into()));
                    }
                    _ => {}
                }
            }
            self.has_ended |= bytes.contains(&b'.');
            Ok(())
        }

        fn end(&mut self, speaker: Speaker<'_>, _: &mut Vec<Output>) -> Result<(), ProviderError> {
            Err(speaker.own_error(ErrorCode::ProviderTruncated, "stopped"))
        }

        fn has_ended(&self) -> bool {
            self.has_ended
        }
    }

    fn generation() -> HttpGeneration {
        let instance = crate::http_provider::instance::tests::instance("http://h", &[]);
        HttpGeneration::new(Arc::new(instance), Box::new(Letters { has_ended: false }))
    }

    fn in_chunks(texts: &[&str]) -> Vec<u8> {
        let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for text in texts {
            http1::write_chunk(&mut out, text.as_bytes());
        }
        out
    }

    const TOKEN: &str = "a";
    const DONE: &str = ".";

    #[test]
    fn a_connection_is_reusable_once_its_framing_is_read() {
        let mut generation = generation();
        let mut out = Vec::new();
        generation
            .receive(&in_chunks(&[TOKEN, DONE]), &mut out)
            .unwrap();
        assert!(matches!(out[..], [Output::Chunk(_), Output::End { .. }]));
        assert!(generation.wants_more() && !generation.is_reusable());
        generation.receive(http1::LAST_CHUNK, &mut out).unwrap();
        assert!(!generation.wants_more() && generation.is_reusable());
        assert_eq!(out.len(), 2, "nothing after the end");
    }

    #[test]
    fn a_connection_is_not_reusable_where_the_answer_forbids_it() {
        let fixed = |fields: &str, body: &str| {
            let len = body.len();
            format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {len}\r\n\r\n{body}").into_bytes()
        };
        let whole = format!("{TOKEN}{DONE}");
        for (name, response, reusable) in [
            ("a length", fixed("", &whole), true),
            ("close", fixed("Connection: close\r\n", &whole), false),
            (
                "bytes behind it",
                [fixed("", &whole), b"x".to_vec()].concat(),
                false,
            ),
            (
                "until close",
                format!("HTTP/1.1 200 OK\r\n\r\n{whole}").into_bytes(),
                false,
            ),
            (
                "bad framing",
                [in_chunks(&[&whole]), b"x\r\n".to_vec()].concat(),
                false,
            ),
        ] {
            let mut generation = generation();
            generation.receive(&response, &mut Vec::new()).unwrap();
            assert_eq!(generation.is_reusable(), reusable, "{name}");
        }
    }

    #[test]
    fn nothing_more_is_wanted_of_a_peer_that_does_not_speak_http() {
        for nonsense in ["SSH-2.0-OpenSSH_9.9\r\n", "HTTP/2 200\r\n\r\n"] {
            let mut generation = generation();
            let outcome = generation.receive(nonsense.as_bytes(), &mut Vec::new());
            assert!(outcome.is_err() && !generation.wants_more(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_refusal_leaves_the_connection_reusable_and_an_error_in_the_stream_does_not() {
        let mut refused = generation();
        let response = b"HTTP/1.1 429 X\r\nContent-Length: 4\r\n\r\nbusy";
        assert!(refused.receive(response, &mut Vec::new()).is_err());
        assert!(refused.is_reusable() && !refused.wants_more());
        let mut failed = generation();
        let response = in_chunks(&["!"]);
        assert!(failed.receive(&response, &mut Vec::new()).is_err());
        assert!(!failed.is_reusable());
    }

    #[test]
    fn whatever_comes_of_an_answer_proves_life() {
        let mut generation = generation();
        let mut out = Vec::new();
        for (bytes, alive) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], false),
            (b"\r\n", true),
            (b": ", true),
            (b"a", false),
            (b" a ", false),
            (b" ", true),
            (b".", false),
            (b": ", false),
        ] {
            out.clear();
            generation.receive(bytes, &mut out).unwrap();
            assert_eq!(out == [Output::Alive], alive, "{}", bytes.escape_ascii());
        }
    }

    /// Nothing in a page can be read; a `#` says something.
    struct Deaf;

    impl Format for Deaf {
        fn feed(
            &mut self,
            bytes: &[u8],
            _: Speaker<'_>,
            out: &mut Vec<Output>,
        ) -> Result<(), ProviderError> {
            out.push(if bytes.contains(&b'#') {
                Output::Chunk("#".into())
            } else {
                Output::Unread
            });
            Ok(())
        }

        fn end(&mut self, speaker: Speaker<'_>, _: &mut Vec<Output>) -> Result<(), ProviderError> {
            Err(speaker.own_error(ErrorCode::ProviderTruncated, "stopped"))
        }

        fn has_ended(&self) -> bool {
            false
        }
    }

    /// The error of a body under 200 that is cut into pieces of a size.
    fn failure(content_type: &str, body: &str, size: usize) -> ProviderError {
        let instance = crate::http_provider::instance::tests::instance("http://h", &[]);
        let mut generation = HttpGeneration::new(Arc::new(instance), Box::new(Deaf));
        let mut out = Vec::new();
        let head = format!("HTTP/1.1 200 OK\r\n{content_type}\r\n\r\n");
        generation.receive(head.as_bytes(), &mut out).unwrap();
        for piece in body.as_bytes().chunks(size) {
            generation.receive(piece, &mut out).unwrap();
        }
        generation.closed(&mut out).unwrap_err()
    }

    #[test]
    fn what_is_no_stream_is_told_by_its_type_and_its_words() {
        let page = "\n<!doctype html><title>t</title><style>a{}</style><h1>Sign\n in</h1>key-1234";
        let long = "Ä\u{7} ".repeat(9000);
        for (content_type, body, want) in [
            (
                "Content-Type: Text/HTML; charset=utf-8",
                page,
                "text/html instead of a stream, check base_url; it says: Sign in [redacted]",
            ),
            (
                "Content-Type: text/html",
                "<p>",
                "text/html instead of a stream, check base_url",
            ),
            (
                "Content-Type: text/plain",
                &long,
                "text/plain instead of a stream, check base_url; it says: Ä Ä Ä",
            ),
            (
                "X: y",
                "dated: now",
                "no content type instead of a stream, check base_url; it says: dated: now",
            ),
        ] {
            for size in [1, 7, 4096] {
                let error = failure(content_type, body, size);
                assert!(error.code == ErrorCode::ProviderError && error.retryable);
                let text = error.message.strip_prefix("h answered with ").unwrap();
                assert!(text.starts_with(want), "{text}");
                assert_eq!(text.ends_with('…'), body.len() > 9000, "{text}");
                assert!(text.len() < 340, "{text}");
            }
        }
    }

    #[test]
    fn a_stream_that_is_cut_is_one_whatever_it_calls_itself() {
        for (content_type, body) in [
            ("text/html", ""),
            ("text/html", "da"),
            ("text/html", "data: 7"),
            ("text/html", "\u{FEFF}\n event\n"),
            ("text/html", ": working"),
            ("application/json", "{\"id\":"),
            ("application/octet-stream", "\0\0"),
            ("text/html", "# and <p>"),
            ("text/event-stream", "<p>"),
        ] {
            let error = failure(&format!("Content-Type: {content_type}"), body, 4096);
            assert_eq!(&*error.message, "h stopped", "{body}");
        }
    }

    #[test]
    fn after_an_error_nothing_more_comes() {
        let mut generation = generation();
        let mut out = Vec::new();
        assert!(generation.receive(&in_chunks(&["!"]), &mut out).is_err());
        let mut more = Vec::new();
        http1::write_chunk(&mut more, TOKEN.as_bytes());
        assert_eq!(generation.receive(&more, &mut out), Ok(()));
        assert_eq!(generation.closed(&mut out), Ok(()));
        assert!(out.is_empty());
    }
}
