//! Plain WebSocket: `GET /connection/websocket?channel=…`, one text message per event.
//!
//! ```text
//!   client                                    server
//!   GET … Upgrade: websocket ──────────────►
//!   ◄──────────────────────────── 101            always, where the request is a proper handshake:
//!   ◄─── {"id":"k3f9ab-1","type":"start",…}      a page cannot read a refused one
//!   ◄─── {"id":"k3f9ab-2","type":"chunk",…}
//!   {"type":"cancel"} ─────────────────────►     ends the generation
//!   ◄─── {"id":"k3f9ab-9","type":"end",…}
//!   ◄──────────────────────────── close 1000
//!   close 1000 ────────────────────────────►     waited for, five seconds at most
//! ```
//!
//! A message is the event's JSON with its position in front as `id` (the id of a tool call is
//! `call_id` here); a publication of an open
//! channel is wrapped as `{"id":"…","data":…}`. `last_event_id` in the URL resumes behind a
//! position. Where that position is of no use, `{"id":"<epoch>-0","type":"reset",…}` comes first:
//! what is shown must be cleared.
//!
//! | the server closes with | because |
//! | --- | --- |
//! | 1000 | the terminal event was sent, or had been received before |
//! | 1001 | the server stops |
//! | 1002, 1007, 1009 | the client broke the protocol, sent text that is not UTF-8, or a message over 4 KiB |
//! | 1003 | the client sent binary data |
//! | 1008 | no pong came within two intervals of 25 s |
//! | 1013 | the server is over its limit, or stops and does not hold the channel: come back later |
//! | 4401, 4403 | not allowed; without the right to cancel, 4403 answers a `cancel` |
//! | 4404 | no such channel, after an `error` event |
//! | 4408 | the client takes nothing for the write timeout |
//! | 4410 | the channel is gone, after an `error` event with the code `gone` |
//!
//! A text message that is not a `cancel` is ignored: many client libraries send some text now and
//! then to keep the connection alive, which costs nothing and harms nobody.
//!
//! # Bounds
//!
//! An idle session is one allocation of less than 64 bytes, and the channel's name where the client
//! may cancel. In the middle of a client's message it holds at most 4 KiB of it.

mod encoding;
mod session;

use lmserver_proto::http1::Response;
use lmserver_proto::ws::handshake::{self, Refusal};
use lmserver_runtime::event::write_json_string;
use lmserver_runtime::plugin::transport::{
    Admission, Lost, Opening, Session, SessionCx, Subscription, Transport,
};

pub use self::encoding::{ENCODING, Text};
use self::session::Subscriber;

/// The transport. It has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebSocket;

impl Transport for WebSocket {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let handshake = handshake::check(opening.request).map_err(|refusal| answer(&refusal))?;
        let fields = opening
            .fields
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()));
        handshake.write_head(None, fields, cx.out());

        let cancels = opening.may_cancel.then(|| opening.channel.into());
        let mut subscriber = Subscriber::new(cancels, cx.now);
        match &opening.admission {
            Admission::Granted => {
                cx.subscribe(Subscription {
                    channel: opening.channel,
                    after: opening.after,
                    encoding: &ENCODING,
                    create: opening.create,
                    gated: false,
                    lost: Lost::Oldest,
                });
            }
            Admission::Unauthorized(reason) => subscriber.close(UNAUTHORIZED, reason, cx),
            Admission::Forbidden(reason) => subscriber.close(FORBIDDEN, reason, cx),
        }
        Ok(Box::new(subscriber))
    }
}

/// The response to a request that is no handshake.
fn answer(refusal: &Refusal) -> Response {
    let code = if refusal.status() == 405 {
        "method_not_allowed"
    } else {
        "invalid_request"
    };
    let mut body = format!(r#"{{"error":{{"code":"{code}","message":"#).into_bytes();
    write_json_string(&refusal.to_string(), &mut body);
    body.extend_from_slice(b"}}");
    let response = Response::json(refusal.status(), body);
    let fields = refusal.fields().iter();
    fields.fold(response, |response, (name, value)| {
        response.with_field(*name, *value)
    })
}

/// HTTP 401 as a close code: the application's range of RFC 6455 §7.4.2 with the status in it.
const UNAUTHORIZED: u16 = 4401;
/// HTTP 403.
const FORBIDDEN: u16 = 4403;
/// HTTP 404.
const NOT_FOUND: u16 = 4404;
/// HTTP 408.
const SLOW: u16 = 4408;
/// HTTP 410.
const GONE: u16 = 4410;
