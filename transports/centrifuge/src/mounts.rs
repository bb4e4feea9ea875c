//! The transports: which requests open a session, and how it carries messages.

use std::borrow::Cow;

use lmserver_proto::centrifuge::ConnectRequest;
use lmserver_proto::http1::{Method, Response, Version};
use lmserver_proto::percent::query_value;
use lmserver_proto::ws::handshake::{self, Handshake};
use lmserver_runtime::event::Position;
use lmserver_runtime::plugin::transport::{Admission, Opening, Session, SessionCx, Transport};
use uuid::{Builder, Uuid};

use crate::carrier::{Carrier, Form, Framing};
use crate::session::Client;
use crate::stream::{Kind, Stream};

/// The six transports of one process.
#[derive(Debug, Clone, Copy)]
pub struct Centrifuge {
    node: Uuid,
}

impl Centrifuge {
    /// A process with this much randomness, which makes the id of its node.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self {
            node: Builder::from_random_bytes(random).into_uuid(),
        }
    }

    /// The id of the node: requests that bring commands for a session of this process name it.
    #[must_use]
    pub fn node(&self) -> String {
        self.node.to_string()
    }

    /// The transports, each with its name under `/connection/`.
    #[must_use]
    pub fn transports(&self) -> Vec<(&'static str, Box<dyn Transport>)> {
        let node = self.node;
        vec![
            ("websocket", Box::new(WebSocket)),
            ("sse", Box::new(Sse { node })),
            ("http_stream", Box::new(HttpStream { node })),
            ("uni_websocket", Box::new(UniWebSocket)),
            ("uni_sse", Box::new(UniSse)),
            ("uni_http_stream", Box::new(UniHttpStream)),
        ]
    }
}

/// Commands and pushes over a WebSocket, in JSON or Protobuf.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebSocket;

/// Replies and pushes as server-sent events. Commands come in requests of their own.
#[derive(Debug, Clone, Copy)]
pub struct Sse {
    node: Uuid,
}

/// Replies and pushes one behind the other, in JSON or Protobuf. Commands come in requests of their
/// own.
#[derive(Debug, Clone, Copy)]
pub struct HttpStream {
    node: Uuid,
}

/// Pushes alone over a WebSocket.
#[derive(Debug, Clone, Copy, Default)]
pub struct UniWebSocket;

/// Pushes alone as server-sent events, which carry positions.
#[derive(Debug, Clone, Copy, Default)]
pub struct UniSse;

/// Pushes alone in lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct UniHttpStream;

/// The subprotocol of Protobuf.
const PROTOBUF: &str = "centrifuge-protobuf";
/// The subprotocol of JSON, which is also what is spoken without one.
const JSON: &str = "centrifuge-json";

impl Transport for WebSocket {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let opening = admitted(opening)?;
        let handshake = checked(&opening)?;
        let chosen = handshake
            .protocols
            .iter()
            .map(String::as_str)
            .find(|name| matches!(*name, PROTOBUF | JSON));
        let said = |name: &str| parameter(&opening, name).is_some_and(|it| it == "protobuf");
        let form = if chosen == Some(PROTOBUF) || said("format") || said("cf_protocol") {
            Form::Protobuf
        } else {
            Form::Json
        };
        write_head(&handshake, chosen, &opening, cx);
        let mut client = Client::new(on_websocket(form, false), cx);
        let frames = parameter(&opening, "cf_ws_frame_ping_pong");
        client.pings_by_frames = frames.is_some_and(|it| it == "true");
        Ok(Box::new(client))
    }
}

impl Transport for UniWebSocket {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let opening = admitted(opening)?;
        let handshake = checked(&opening)?;
        write_head(&handshake, None, &opening, cx);
        let mut client = Client::new(on_websocket(Form::Json, true), cx);
        if let Some(text) = parameter(&opening, "cf_connect") {
            // Whatever comes of it is said on the WebSocket, which waits for its end.
            let _ = client.first_message(text.as_bytes(), cx);
        }
        Ok(Box::new(client))
    }
}

impl Transport for Sse {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let opening = admitted(opening)?;
        let commands = match &opening.request.method {
            Method::Get => parameter(&opening, "cf_connect")
                .filter(|text| !text.is_empty())
                .map(|text| Cow::Owned(text.into_owned().into_bytes()))
                .ok_or_else(|| Response::text(400, "cf_connect is missing\n"))?,
            Method::Post => Cow::Borrowed(opening.body),
            _ => return Err(not_allowed("GET, POST")),
        };
        let fields = opening.fields;
        let client = on_stream(Kind::Events, Form::Event, false, &commands, fields, cx)?;
        Ok(emulated(client, self.node, &commands, cx))
    }
}

impl Transport for HttpStream {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let opening = posted(admitted(opening)?)?;
        let kind = opening.request.fields.get("Content-Type");
        let form = match kind {
            Some("application/octet-stream") => Form::Protobuf,
            _ => Form::Json,
        };
        let (body, fields) = (opening.body, opening.fields);
        let client = on_stream(Kind::Messages, form, false, body, fields, cx)?;
        Ok(emulated(client, self.node, body, cx))
    }
}

impl Transport for UniSse {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let opening = admitted(opening)?;
        let request = match &opening.request.method {
            Method::Get => {
                let text = parameter(&opening, "cf_connect").unwrap_or_default();
                Cow::Owned(text.into_owned().into_bytes())
            }
            Method::Post => Cow::Borrowed(opening.body),
            _ => return Err(not_allowed("GET, POST")),
        };
        let seen = (opening
            .request
            .fields
            .get("Last-Event-ID")
            .map(Cow::Borrowed))
        .or_else(|| parameter(&opening, "last_event_id"));
        let seen = seen.and_then(|id| id.parse().ok());
        let connect = connect_request(&request)?;
        let fields = opening.fields;
        let client = on_stream(Kind::PushEvents, Form::Event, true, &request, fields, cx)?;
        Ok(unidirectional(client, &connect, seen, cx))
    }
}

impl Transport for UniHttpStream {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let opening = posted(admitted(opening)?)?;
        let connect = connect_request(opening.body)?;
        let (body, fields) = (opening.body, opening.fields);
        let client = on_stream(Kind::Pushes, Form::Json, true, body, fields, cx)?;
        Ok(unidirectional(client, &connect, None, cx))
    }
}

/// A response's fields.
type Fields = Vec<(Cow<'static, str>, String)>;

/// A client on the response to the request that brought `request`.
fn on_stream(
    kind: Kind,
    form: Form,
    is_unidirectional: bool,
    request: &[u8],
    fields: Fields,
    cx: &mut SessionCx<'_>,
) -> Result<Client, Response> {
    if request.len() > cx.access().settings().message_bytes {
        let mut response = Response::text(413, "the request is too large\n");
        response.fields.extend(fields);
        return Err(response);
    }
    let framing = match cx.answering.version {
        Version::Http11 => Framing::Chunked,
        Version::Http10 => Framing::Plain,
    };
    let carrier = Carrier {
        framing,
        form,
        is_unidirectional,
    };
    let mut client = Client::new(carrier, cx);
    let stream = Stream::new(kind, cx.answering, fields);
    client.stream = Some(Box::new(stream));
    Ok(client)
}

/// Lets a client begin with commands; more will come in requests of their own.
fn emulated(
    mut client: Client,
    node: Uuid,
    commands: &[u8],
    cx: &mut SessionCx<'_>,
) -> Box<dyn Session> {
    client.rare_mut().node = Some(node);
    // Whatever comes of them is said in the stream, also that it is over already.
    let _ = client.message(commands, cx);
    Box::new(client)
}

/// Lets a client begin that says nothing else.
fn unidirectional(
    mut client: Client,
    request: &ConnectRequest<'_>,
    seen: Option<Position>,
    cx: &mut SessionCx<'_>,
) -> Box<dyn Session> {
    let _ = client.connect(0, request, seen, cx);
    Box::new(client)
}

fn connect_request(text: &[u8]) -> Result<ConnectRequest<'_>, Response> {
    let request = ConnectRequest::from_json(text);
    request.map_err(|error| Response::text(400, format!("{error}\n")))
}

/// The request, unless the application refuses it.
fn admitted(opening: Opening<'_>) -> Result<Opening<'_>, Response> {
    let refusal = match opening.admission {
        Admission::Granted => return Ok(opening),
        Admission::Unauthorized(reason) => Response::text(401, reason),
        Admission::Forbidden(reason) => Response::text(403, reason),
    };
    Err(Response {
        fields: [refusal.fields, opening.fields].concat(),
        ..refusal
    })
}

/// The handshake of a WebSocket.
fn checked(opening: &Opening<'_>) -> Result<Handshake, Response> {
    handshake::check(opening.request).map_err(|refusal| {
        let response = Response::text(refusal.status(), format!("{refusal}\n"));
        let fields = refusal.fields().iter();
        fields.fold(response, |response, (name, value)| {
            response.with_field(*name, *value)
        })
    })
}

/// Answers the handshake of a WebSocket.
fn write_head(
    handshake: &Handshake,
    protocol: Option<&str>,
    opening: &Opening<'_>,
    cx: &mut SessionCx<'_>,
) {
    let fields = (opening.fields.iter()).map(|(name, value)| (name.as_ref(), value.as_str()));
    handshake.write_head(protocol, fields, cx.out());
}

const fn on_websocket(form: Form, is_unidirectional: bool) -> Carrier {
    Carrier {
        framing: Framing::WebSocket,
        form,
        is_unidirectional,
    }
}

/// The request, if it is a `POST`.
fn posted(opening: Opening<'_>) -> Result<Opening<'_>, Response> {
    match &opening.request.method {
        Method::Post => Ok(opening),
        Method::Options => {
            let mut response = Response::empty(204)
                .with_field("Access-Control-Max-Age", "300")
                .with_field("Access-Control-Allow-Methods", "POST, OPTIONS");
            response.fields.extend(opening.fields);
            Err(response)
        }
        _ => Err(not_allowed("POST, OPTIONS")),
    }
}

fn not_allowed(methods: &'static str) -> Response {
    Response::text(405, "method not allowed\n").with_field("Allow", methods)
}

/// A parameter of the request's query.
fn parameter<'a>(opening: &Opening<'a>, name: &str) -> Option<Cow<'a, str>> {
    query_value(opening.request.query()?, name)
}
