//! Publications as pushes, once for each kind of receiver.
//!
//! ```text
//!   carrier ──┬── channel by name ───┬── whole publications
//!             └── channel by number ─┴── differences where the publisher asked for them
//! ```
//!
//! Each combination is an encoding of its own, and the log keeps its bytes: a publication is
//! written once per combination in use, however many receive it. Several of them travel in one
//! frame, which the envelope puts around them. Only a unidirectional WebSocket has a frame for
//! each, since its clients do not split messages.

use lmserver_proto::centrifuge::delta::{self, Cut};
use lmserver_proto::centrifuge::{Channel, ClientInfo, Protocol, Publication, Push, PushEvent};
use lmserver_runtime::event::{self, Details};
use lmserver_runtime::plugin::transport::{Encoding, Entry, Envelope};

use crate::carrier::{Carrier, Form, Framing};

/// Publications for one kind of receiver.
#[derive(Debug)]
pub(crate) struct Pushes {
    name: &'static str,
    carrier: Carrier,
    /// The channel is named by its number.
    is_numbered: bool,
    /// Differences are sent where they are asked for.
    is_delta: bool,
}

/// The encodings of one carrier.
type Kinds = [Pushes; 4];

macro_rules! kinds {
    ($name:literal, $framing:ident, $form:ident, $is_unidirectional:literal) => {{
        const CARRIER: Carrier = Carrier {
            framing: Framing::$framing,
            form: Form::$form,
            is_unidirectional: $is_unidirectional,
        };
        [
            Pushes::new(concat!("centrifuge/", $name), CARRIER, false, false),
            Pushes::new(
                concat!("centrifuge/", $name, "/delta"),
                CARRIER,
                false,
                true,
            ),
            Pushes::new(concat!("centrifuge/", $name, "/id"), CARRIER, true, false),
            Pushes::new(
                concat!("centrifuge/", $name, "/id/delta"),
                CARRIER,
                true,
                true,
            ),
        ]
    }};
}

/// All encodings.
static ENCODINGS: [Kinds; 13] = [
    kinds!("ws/json", WebSocket, Json, false),
    kinds!("ws/protobuf", WebSocket, Protobuf, false),
    kinds!("ws/uni", WebSocket, Json, true),
    kinds!("sse/chunked", Chunked, Event, false),
    kinds!("sse/plain", Plain, Event, false),
    kinds!("sse/uni/chunked", Chunked, Event, true),
    kinds!("sse/uni/plain", Plain, Event, true),
    kinds!("http/json/chunked", Chunked, Json, false),
    kinds!("http/json/plain", Plain, Json, false),
    kinds!("http/protobuf/chunked", Chunked, Protobuf, false),
    kinds!("http/protobuf/plain", Plain, Protobuf, false),
    kinds!("http/uni/chunked", Chunked, Json, true),
    kinds!("http/uni/plain", Plain, Json, true),
];

impl Pushes {
    const fn new(name: &'static str, carrier: Carrier, is_numbered: bool, is_delta: bool) -> Self {
        Self {
            name,
            carrier,
            is_numbered,
            is_delta,
        }
    }

    /// The encoding for a subscription; none for a carrier that does not exist.
    pub(crate) fn of(carrier: Carrier, is_numbered: bool, is_delta: bool) -> Option<&'static Self> {
        ENCODINGS.iter().flatten().find(|it| {
            it.carrier == carrier && it.is_numbered == is_numbered && it.is_delta == is_delta
        })
    }

    /// Appends an entry as a push, unframed: as a difference if `may_differ`.
    pub(crate) fn write(&self, entry: &Entry<'_>, may_differ: bool, out: &mut Vec<u8>) {
        let mut difference = Vec::new();
        let json = entry.json.whole();
        let mut publication = publication(entry, &json, self.carrier.protocol(), self.is_delta);
        let asked = entry.details.is_some_and(|details| details.as_delta);
        if self.is_delta
            && may_differ
            && asked
            && let Some(previous) = entry.previous
            && delta::create(&previous.whole(), &json, self.cut(), &mut difference)
        {
            publication.data = &difference;
            publication.delta = true;
        }
        let channel = if self.is_numbered {
            Channel::Id(entry.number.into())
        } else {
            Channel::Name(entry.channel)
        };
        let push = Push {
            channel,
            event: PushEvent::Publication(&publication),
        };
        self.carrier.write_push(&push, out);
    }

    fn cut(&self) -> Cut {
        match self.carrier.protocol() {
            Protocol::Json => Cut::Characters,
            Protocol::Protobuf => Cut::Anywhere,
        }
    }

    /// Has each push a frame of its own?
    const fn is_framed_alone(&self) -> bool {
        self.carrier.is_unidirectional && self.carrier.is_websocket()
    }
}

impl Encoding for Pushes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if self.is_framed_alone() {
            return self.carrier.say(out, |_, out| self.write(entry, true, out));
        }
        let position = entry.position();
        let position = (self.carrier.is_unidirectional && entry.is_kept).then_some(position);
        let position = position.as_ref().map(|it| it as &dyn std::fmt::Display);
        self.carrier
            .append(position, out, |_, out| self.write(entry, true, out));
    }

    fn envelope(&self, length: usize) -> Option<Envelope> {
        if self.is_framed_alone() {
            return None;
        }
        self.carrier.envelope(length)
    }
}

/// An entry of a channel as a publication, whole; `json` is the entry's.
pub(crate) fn publication<'a>(
    entry: &'a Entry<'a>,
    json: &'a [u8],
    protocol: Protocol,
    is_quoted: bool,
) -> Publication<'a> {
    let details = entry.details;
    Publication {
        data: data(json, details, protocol),
        quoted: is_quoted,
        info: details
            .and_then(|details| details.publisher.as_ref())
            .map(client_info),
        offset: if entry.is_kept { entry.offset } else { 0 },
        tags: details.map_or(&[], |details| &details.tags),
        delta: false,
        time: 0,
        // Who subscribed to an empty stream learns its epoch here.
        epoch: if entry.is_kept && entry.offset == 1 {
            entry.epoch.as_str()
        } else {
            ""
        },
    }
}

/// The data of a publication: what is no JSON goes out as it is where that is possible.
pub(crate) fn data<'a>(
    json: &'a [u8],
    details: Option<&'a Details>,
    protocol: Protocol,
) -> &'a [u8] {
    let binary = details.and_then(|details| details.binary.as_deref());
    match protocol {
        Protocol::Json => json,
        Protocol::Protobuf => binary.unwrap_or(json),
    }
}

/// A client as others see it.
pub(crate) fn client_info(info: &event::ClientInfo) -> ClientInfo<'_> {
    ClientInfo {
        user: &info.user,
        client: &info.client,
        conn_info: info.connection_info.as_deref().unwrap_or_default(),
        chan_info: info.channel_info.as_deref().unwrap_or_default(),
    }
}
