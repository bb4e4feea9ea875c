//! One download of a key set, as a provider of the engine: a request out, a document in.
//!
//! ```text
//! bytes ─► Exchange ─► head: 200 ─► content coding ─► document ─► found
//!                       └ other ─► error; redirects are not followed
//! ```
//!
//! Nothing of the document is told in events. The connection is not used again: the next request
//! comes in an hour.

use std::sync::{Arc, OnceLock};

use lmserver_proto::http1::client::{Exchange, ResponseEvent, ResponseHead, write_request};
use lmserver_proto::http1::content_coding::Decoder;
use lmserver_proto::http1::{self, Limits, Method, reason_phrase};
use lmserver_runtime::event::{ErrorCode, FinishReason};
use lmserver_runtime::plugin::provider::{
    ChatRequest, Endpoint, Generation, Output, Provider, ProviderError, Start, StartCx, Upstream,
};

use crate::token::LARGEST_KEY_SET;

/// The place for a whole document.
pub(super) type Found = Arc<OnceLock<Box<[u8]>>>;

/// Asks one server for one document.
pub(super) struct Download {
    upstream: Upstream,
    found: Found,
}

impl Download {
    /// `host` is the value of `Host`.
    pub(super) fn new(endpoint: Endpoint, host: &str, target: &str, found: Found) -> Self {
        let mut request = Vec::new();
        write_request(&mut request, &Method::Get, target, host, FIELDS, b"");
        Self {
            upstream: Upstream { endpoint, request },
            found,
        }
    }
}

impl Provider for Download {
    fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.upstream.endpoint)
    }

    fn start(&self, _: &ChatRequest, _: &str, _: StartCx) -> Result<Start, ProviderError> {
        let document = Document {
            exchange: Exchange::new(&Method::Get),
            reader: Reader {
                host: self.upstream.endpoint.host.clone(),
                decoder: None,
                json: Vec::new(),
                found: Arc::clone(&self.found),
            },
        };
        Ok(Start {
            generation: Box::new(document),
            upstream: Some(self.upstream.clone()),
        })
    }
}

/// The document as it comes.
struct Document {
    exchange: Exchange,
    reader: Reader,
}

struct Reader {
    host: Box<str>,
    /// Removes what the body was compressed with; none before the head.
    decoder: Option<Decoder>,
    /// At most [`LARGEST_KEY_SET`].
    json: Vec<u8>,
    found: Found,
}

impl Generation for Document {
    fn receive(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.exchange.feed(bytes);
        loop {
            match self.exchange.next_event(&LIMITS) {
                Ok(Some(event)) => self.reader.event(event, out)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.reader.error(&format!("said no HTTP: {error}"))),
            }
        }
    }

    fn closed(&mut self, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        match self.exchange.closed() {
            Ok(Some(event)) => self.reader.event(event, out),
            Ok(None) => Ok(()),
            Err(http1::Error::NoResponse) => Err(self
                .reader
                .fails(ErrorCode::ProviderUnreachable, "gave no answer")),
            Err(_) => Err(self.reader.truncated()),
        }
    }
}

impl Reader {
    fn event(
        &mut self,
        event: ResponseEvent<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        match event {
            ResponseEvent::Head(head) => self.head(&head),
            ResponseEvent::Body(bytes) => self.body(bytes),
            ResponseEvent::End { .. } => self.end(out),
        }
    }

    fn head(&mut self, head: &ResponseHead) -> Result<(), ProviderError> {
        let status = head.status;
        if status != 200 {
            let hint = if (300..400).contains(&status) {
                ": redirects are not followed, write where it points"
            } else {
                ""
            };
            let what = format!("answered {status} {}{hint}", reason_phrase(status));
            return Err(self.error(&what));
        }
        let coding = head.fields.get("content-encoding");
        let decoder = Decoder::new(coding).map_err(|error| self.error(&error.to_string()))?;
        self.decoder = Some(decoder);
        Ok(())
    }

    /// However small a piece is, what it unpacks to is looked at bit by bit.
    fn body(&mut self, bytes: &[u8]) -> Result<(), ProviderError> {
        let mut rest = bytes;
        while let Some(decoder) = &mut self.decoder {
            let progress = decoder
                .decode(rest, &mut self.json)
                .map_err(|error| self.error(&format!("sent {error}")))?;
            if self.json.len() > LARGEST_KEY_SET {
                let what = format!("sent more than a key set may have, {LARGEST_KEY_SET} bytes");
                return Err(self.fails(ErrorCode::TooLarge, &what));
            }
            rest = rest.get(progress.consumed..).unwrap_or_default();
            if !progress.more {
                break;
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        let is_whole = self.decoder.take().is_some_and(|it| it.finish().is_ok());
        if !is_whole {
            return Err(self.truncated());
        }
        // There is one document, so the place is free.
        let _ = self.found.set(std::mem::take(&mut self.json).into());
        out.push(Output::End {
            finish_reason: FinishReason::Stop,
            usage: None,
        });
        Ok(())
    }

    fn truncated(&self) -> ProviderError {
        self.fails(
            ErrorCode::ProviderTruncated,
            "closed the connection before the end of the key set",
        )
    }

    fn error(&self, what: &str) -> ProviderError {
        self.fails(ErrorCode::ProviderError, what)
    }

    fn fails(&self, code: ErrorCode, what: &str) -> ProviderError {
        ProviderError::new(code, format!("{} {what}", self.host))
    }
}

const FIELDS: [(&str, &str); 4] = [
    ("Accept", "application/jwk-set+json, application/json"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
    (
        "User-Agent",
        concat!("lmserver/", env!("CARGO_PKG_VERSION")),
    ),
];

/// The document has a bound of its own.
const LIMITS: Limits = Limits {
    head_bytes: 64 * 1024,
    header_count: 256,
    body_bytes: usize::MAX,
};

#[cfg(test)]
mod tests;
