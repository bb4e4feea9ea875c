//! Server-sent events: `GET /connection/sse?channel=…`, for `EventSource`, `curl -N` and anything
//! that reads lines.
//!
//! ```text
//!   HTTP/1.1 200 OK
//!   Content-Type: text/event-stream
//!
//!   retry: 1000                        just before the first event of each response
//!   id: k3f9ab-1
//!   data: {"type":"start",…}
//!
//!   id: k3f9ab-2
//!   data: {"type":"chunk","message":"Hel"}
//!
//!   : hb                               after 15 s of silence
//! ```
//!
//! An HTTP/1.1 client gets each event in a chunk of its own, an HTTP/1.0 client gets them as they
//! are and the end of the connection behind them. Both are encodings of their own, made once per
//! event. The stream ends behind the terminal event, and the connection serves the next request.

mod encoding;
mod session;

use lmserver_proto::http1::{Response, Version};
use lmserver_runtime::event::write_json_string;
use lmserver_runtime::plugin::transport::{
    Admission, Encoding, Lost, Opening, Session, SessionCx, Subscription, Transport,
};

pub use encoding::{CHUNKED, Chunked, PLAIN, Plain};
use session::Subscriber;

/// The transport. It has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sse;

impl Transport for Sse {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let refusal = match &opening.admission {
            Admission::Granted => None,
            Admission::Unauthorized(reason) => {
                Some(error(401, "unauthorized", reason).with_field("WWW-Authenticate", "Bearer"))
            }
            Admission::Forbidden(reason) => Some(error(403, "forbidden", reason)),
        };
        if let Some(mut refusal) = refusal {
            refusal.fields.extend(opening.fields);
            return Err(refusal);
        }
        let version = cx.answering.version;
        let encoding: &'static dyn Encoding = match version {
            Version::Http11 => &CHUNKED,
            Version::Http10 => &PLAIN,
        };
        cx.subscribe(Subscription {
            channel: opening.channel,
            after: opening.after,
            encoding,
            create: opening.create,
            // `retry:` stands before the first event.
            gated: true,
            lost: Lost::Oldest,
        });
        Ok(Box::new(Subscriber::new(opening.fields, cx)))
    }
}

/// An error answer in the shape of the API.
fn error(status: u16, code: &str, message: &str) -> Response {
    let mut body = format!(r#"{{"error":{{"code":"{code}","message":"#).into_bytes();
    write_json_string(message, &mut body);
    body.extend_from_slice(b"}}");
    Response::json(status, body)
}
