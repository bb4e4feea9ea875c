//! How messages become bytes on a connection: in which encoding, and in what around it.
//!
//! | framing | one message of the server |
//! | --- | --- |
//! | WebSocket | a frame: text for JSON, binary for Protobuf |
//! | chunked | a chunk of HTTP/1.1, so that it never arrives in two pieces |
//! | plain | the bytes alone, for HTTP/1.0 |
//!
//! | form | the message within |
//! | --- | --- |
//! | JSON | the object, and a line feed where several may follow one another |
//! | event | `data: `, the object, an empty line: a server-sent event |
//! | Protobuf | the message with its length in front |

use std::fmt::Display;
use std::io::Write as _;

use lmserver_proto::centrifuge::{Protocol, Push};
use lmserver_proto::http1::write_chunk;
use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_runtime::plugin::transport::Envelope;

/// What is put around messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Frames of a WebSocket.
    WebSocket,
    /// Chunks of an HTTP/1.1 response.
    Chunked,
    /// Nothing: the response ends with the connection.
    Plain,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object in a line.
    Json,
    /// An object as a server-sent event.
    Event,
    /// With its length in front.
    Protobuf,
}

/// How a connection carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carrier {
    pub(crate) framing: Framing,
    pub(crate) form: Form,
    /// Pushes stand alone, and there is nothing else.
    pub(crate) is_unidirectional: bool,
}

impl Carrier {
    /// The encoding of both directions.
    pub(crate) const fn protocol(self) -> Protocol {
        match self.form {
            Form::Json | Form::Event => Protocol::Json,
            Form::Protobuf => Protocol::Protobuf,
        }
    }

    /// Whether the connection is a WebSocket.
    pub(crate) const fn is_websocket(self) -> bool {
        matches!(self.framing, Framing::WebSocket)
    }

    /// Appends one message, framed, which `write` appends in the connection's encoding.
    pub(crate) fn say(self, out: &mut Vec<u8>, write: impl FnOnce(Protocol, &mut Vec<u8>)) {
        self.say_at(None, out, write);
    }

    /// The same, with the position that a server-sent event may have.
    pub(crate) fn say_at(
        self,
        position: Option<&dyn Display>,
        out: &mut Vec<u8>,
        write: impl FnOnce(Protocol, &mut Vec<u8>),
    ) {
        let mut message = Vec::new();
        match self.framing {
            Framing::WebSocket => {
                write(self.protocol(), &mut message);
                frame::write_frame(out, self.opcode(), true, &message, None);
            }
            Framing::Chunked => {
                self.append(position, &mut message, write);
                write_chunk(out, &message);
            }
            Framing::Plain => self.append(position, out, write),
        }
    }

    /// Appends a push in the connection's encoding, unframed.
    pub(crate) fn write_push(self, push: &Push<'_>, out: &mut Vec<u8>) {
        if self.is_unidirectional {
            self.protocol().bare_push(push, out);
        } else {
            self.protocol().push(push, out);
        }
    }

    /// Appends one message such that another may follow within the same frame.
    pub(crate) fn append(
        self,
        position: Option<&dyn Display>,
        out: &mut Vec<u8>,
        write: impl FnOnce(Protocol, &mut Vec<u8>),
    ) {
        if self.form == Form::Event {
            if let Some(position) = position {
                // Writing into a Vec cannot fail.
                let _ = writeln!(out, "id: {position}");
            }
            out.extend_from_slice(b"data: ");
        }
        write(self.protocol(), out);
        match self.form {
            Form::Json => out.push(b'\n'),
            Form::Event => out.extend_from_slice(b"\n\n"),
            Form::Protobuf => {}
        }
    }

    /// What is put around messages of `length` bytes that were [appended](Self::append).
    pub(crate) fn envelope(self, length: usize) -> Option<Envelope> {
        match self.framing {
            Framing::WebSocket => {
                let separated = self.form == Form::Json;
                let length = length.saturating_sub(usize::from(separated));
                let mut head = Vec::with_capacity(Envelope::HEAD_MAX);
                frame::write_header(&mut head, self.opcode(), true, length, None);
                let envelope = Envelope::new(&head);
                Some(if separated {
                    envelope.dropping_last()
                } else {
                    envelope
                })
            }
            Framing::Chunked => {
                let mut head = [0; Envelope::HEAD_MAX];
                let mut rest = &mut head[..];
                let _ = write!(rest, "{length:x}\r\n");
                let unused = rest.len();
                let used = head.len() - unused;
                Some(Envelope::new(head.get(..used).unwrap_or(&head)).with_tail(b"\r\n"))
            }
            Framing::Plain => None,
        }
    }

    const fn opcode(self) -> Opcode {
        match self.form {
            Form::Json | Form::Event => Opcode::Text,
            Form::Protobuf => Opcode::Binary,
        }
    }
}
