//! Who asks, and what a connection has been asked.

use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Limits, Request};

/// Who asks.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    request: &'static [u8],
    pub(crate) reads_chunks: bool,
    pub(crate) reads_body: bool,
    /// The value of `Connection` behind a stream, and behind a whole answer.
    pub(crate) connection: [Option<&'static str>; 2],
}

/// What every client sends behind its request.
pub(crate) const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) const CLIENTS: [Client; 4] = [
    Client {
        name: "HTTP/1.1",
        request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        reads_chunks: true,
        reads_body: true,
        connection: [None, None],
    },
    Client {
        name: "HTTP/1.0",
        request: b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        reads_chunks: false,
        reads_body: true,
        connection: [Some("close"), Some("close")],
    },
    Client {
        name: "HTTP/1.0 that would stay",
        request: b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        reads_chunks: false,
        reads_body: true,
        connection: [Some("close"), Some("keep-alive")],
    },
    Client {
        name: "HEAD",
        request: b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        reads_chunks: true,
        reads_body: false,
        connection: [None, None],
    },
];

impl Client {
    /// The request, and the connection that waits for its answer.
    pub(crate) fn ask(&self) -> (Request, Connection) {
        let mut connection = Connection::new();
        connection.feed(self.request);
        let request = next_request(&mut connection).expect("a request");
        (request, connection)
    }
}

/// The next request that has come whole.
pub(crate) fn next_request(connection: &mut Connection) -> Option<Request> {
    match connection.next_event(&Limits::default()) {
        Ok(Some(Event::Request { head, .. })) => Some(head),
        Ok(None) => None,
        other => panic!("no request: {other:?}"),
    }
}
