//! A provider that says what the test tells it to.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire::{Head, PATIENCE, Wire};

/// A listening provider. Whoever connects waits until the test takes the connection.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Provider {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub(crate) fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { address, accepted }
    }

    /// The section of the configuration that leads here.
    pub(crate) fn section(&self, name: &str, more: &str) -> String {
        section(name, &format!("http://{}/v1", self.address), more)
    }

    /// Takes the next connection.
    pub(crate) fn accept(&self) -> Wire {
        Wire::tcp(self.accept_tcp())
    }

    pub(crate) fn accept_tcp(&self) -> TcpStream {
        let stream = self.accepted.recv_timeout(PATIENCE);
        stream.expect("somebody connects")
    }

    /// Has nobody connected whom the test has not taken?
    pub(crate) fn has_nobody(&self) -> bool {
        matches!(self.accepted.try_recv(), Err(TryRecvError::Empty))
    }
}

/// A provider's section with a default model, `m`. Unless it says otherwise, it is tried once.
pub(crate) fn section(name: &str, url: &str, more: &str) -> String {
    let once = if more.contains("retries") {
        ""
    } else {
        "retries = 0\n"
    };
    format!(
        "[provider.{name}]\nkind = \"openai\"\nbase_url = \"{url}\"\nmodel = \"m\"\n{once}{more}\n"
    )
}

impl Wire {
    /// Takes the server's request.
    pub(crate) fn question(&mut self) -> (Head, Value) {
        let head = self.head();
        assert_eq!(head.line, "POST /v1/chat/completions HTTP/1.1");
        let body = self.body(&head);
        (head, serde_json::from_slice(&body).unwrap())
    }

    /// Begins an event stream in chunks.
    pub(crate) fn begin(&mut self) {
        self.say(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        );
    }

    /// Says a piece of the answer in a chunk of its own.
    pub(crate) fn tell(&mut self, text: &str) {
        self.say(in_chunk(piece(text)));
    }

    /// Ends an event stream that was begun in chunks.
    pub(crate) fn finish(&mut self) {
        self.say([in_chunk(ending()), b"0\r\n\r\n".to_vec()].concat());
    }

    /// Answers the next question as providers do.
    pub(crate) fn answer(&mut self, text: &str) {
        self.question();
        self.begin();
        self.tell(text);
        self.finish();
    }

    /// Answers the next question with an error.
    pub(crate) fn refuse(&mut self, status: &str, body: &str) {
        self.question();
        self.say(whole(status, "application/json", body));
    }
}

/// An event with a piece of the answer.
pub(crate) fn piece(text: &str) -> String {
    let delta = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {delta}\n\n")
}

/// The events that end an answer.
pub(crate) fn ending() -> String {
    let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    format!("data: {last}\n\ndata: [DONE]\n\n")
}

/// Bytes as one chunk of a body.
pub(crate) fn in_chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A response with a length.
pub(crate) fn whole(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A listener that has no room for one more connection, so that the next one waits.
pub(crate) struct FullHouse {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullHouse {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let wait = Duration::from_millis(50);
        let connect = || TcpStream::connect_timeout(&address, wait).ok();
        let waiting = std::iter::from_fn(connect).collect();
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}
