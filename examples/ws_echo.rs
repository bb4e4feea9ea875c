//! A WebSocket echo server on lmserver's engine: the whole of RFC 6455 and nothing else.
//!
//! ```sh
//! cargo run --release --example ws_echo -- 127.0.0.1:9001
//! ```
//!
//! Every path is upgraded; every message comes back as it came, up to 16 MiB and in as many
//! fragments as [`Limits::default`] allows. This is what the Autobahn test suite talks to
//! (`tests/autobahn/run`), and the shortest transport plugin that there can be.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lmserver_proto::http1::{Request, Response};
use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{Connection, Event, Limits, Role, handshake};
use lmserver_runtime::channel::{Backlog, Placement};
use lmserver_runtime::event::After;
use lmserver_runtime::limits;
use lmserver_runtime::plugin::service::{Reply, Service, ServiceCx, Unread};
use lmserver_runtime::plugin::transport::{
    Admission, Disconnect, Opening, Session, SessionCx, Transport,
};
use lmserver_runtime::reactor::Reactor;
use lmserver_runtime::routing::Routing;
use lmserver_runtime::sys::ListenAddr;
use lmserver_runtime::sys::mio::MioSys;
use lmserver_runtime::time::Moment;

fn main() -> Result<(), Box<dyn Error>> {
    let at: SocketAddr = match std::env::args().nth(1) {
        Some(argument) => argument.parse()?,
        None => SocketAddr::from(([127, 0, 0, 1], 9001)),
    };
    let mut sys = MioSys::new()?;
    sys.catch_signals()?;
    let (mut reactor, at) = listen(sys, at)?;
    println!("listening on {at}");
    Ok(reactor.run()?)
}

/// An echo server that listens, and where it really does.
pub(crate) fn listen(sys: MioSys, at: SocketAddr) -> io::Result<(Reactor<MioSys>, SocketAddr)> {
    let mut reactor = Reactor::new(
        sys,
        Box::new(EveryPath),
        Arc::new(Routing::default()),
        limits::Limits::default(),
        limits::ChannelLimits::default(),
    );
    match reactor.listen(&ListenAddr::Tcp(at), None)? {
        ListenAddr::Tcp(at) => Ok((reactor, at)),
        ListenAddr::Unix(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// The application: every request is one for the transport.
struct EveryPath;

impl Service for EveryPath {
    fn call(&mut self, request: &Request, _body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let opening = Opening {
            request,
            channel: "",
            after: After::Beginning,
            admission: Admission::Granted,
            may_cancel: false,
            create: None,
            body: b"",
            fields: Vec::new(),
        };
        cx.open(&Echo, opening)
    }

    fn refuse(&mut self, unread: &Unread<'_>, _cx: &mut ServiceCx<'_>) -> Response {
        Response::text(unread.status, unread.message)
    }
}

/// The transport: a handshake and a session.
struct Echo;

impl Transport for Echo {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let handshake = handshake::check(opening.request).map_err(|refusal| {
            let response = Response::text(refusal.status(), refusal.to_string());
            let fields = refusal.fields().iter();
            fields.fold(response, |response, (name, value)| {
                response.with_field(*name, *value)
            })
        })?;
        handshake.write_head(None, [], cx.out());
        Ok(Box::new(EchoSession {
            connection: Connection::new(Role::Server),
        }))
    }
}

/// One client.
struct EchoSession {
    connection: Connection,
}

impl Session for EchoSession {
    fn receive(&mut self, bytes: &[u8], cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.connection.feed(bytes);
        let limits = Limits::default();
        loop {
            match self.connection.next_event(&limits) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Text(text))) => frame::write_text(cx.out(), &text),
                Ok(Some(Event::Binary(data))) => {
                    frame::write_frame(cx.out(), Opcode::Binary, true, &data, None);
                }
                Ok(Some(Event::Ping(payload))) => {
                    frame::write_frame(cx.out(), Opcode::Pong, true, payload, None);
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close { code, .. })) => {
                    frame::write_close(cx.out(), code, "", None);
                    return Err(Disconnect::Done);
                }
                Err(error) => {
                    let code = Some(error.close_code());
                    frame::write_close(cx.out(), code, &error.to_string(), None);
                    return Err(Disconnect::Protocol("WebSocket protocol error"));
                }
            }
        }
    }

    fn placed(
        &mut self,
        _channel: &str,
        _placement: &Placement,
        _backlog: &mut Backlog<'_>,
        _cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        Ok(())
    }

    fn ended(&mut self, _channel: &str, _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Ok(())
    }

    fn deadline(&self, _last_write: Moment) -> Option<Moment> {
        None
    }

    fn expire(&mut self, _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Ok(())
    }
}
