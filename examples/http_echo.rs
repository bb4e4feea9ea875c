//! The HTTP code alone: every path and every method but CONNECT is answered with the request's
//! body.
//!
//! ```sh
//! cargo run --release --example http_echo -- 127.0.0.1:9002
//! ```

use std::io;
use std::sync::Arc;

use lmserver::proto::http1::{self, Method, Request, Response};
use lmserver::runtime::limits::{ChannelLimits, Limits};
use lmserver::runtime::plugin::service::{Reply, Service, ServiceCx, Unread};
use lmserver::runtime::reactor::Reactor;
use lmserver::runtime::routing::Routing;
use lmserver::runtime::sys::ListenAddr;
use lmserver::runtime::sys::mio::MioSys;

/// The largest body that is echoed.
const BODY_BYTES: usize = 16 << 20;

struct Echo;

impl Service for Echo {
    fn call(&mut self, request: &Request, body: &[u8], _cx: &mut ServiceCx<'_>) -> Reply {
        Reply::Response(match request.method {
            Method::Connect => Response::text(501, "CONNECT is not implemented\n"),
            _ => Response {
                body: body.to_vec(),
                ..Response::empty(200)
            },
        })
    }

    fn refuse(&mut self, unread: &Unread<'_>, _cx: &mut ServiceCx<'_>) -> Response {
        Response::text(unread.status, format!("{}\n", unread.message))
    }
}

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9002".into());
    let addr = ListenAddr::Tcp(addr.parse().map_err(io::Error::other)?);
    let limits = Limits {
        http: http1::Limits {
            body_bytes: BODY_BYTES,
            ..http1::Limits::default()
        },
        ..Limits::default()
    };
    let mut sys = MioSys::new()?;
    sys.catch_signals()?;
    let routing = Arc::new(Routing::default());
    let mut reactor = Reactor::new(
        sys,
        Box::new(Echo),
        routing,
        limits,
        ChannelLimits::default(),
    );
    if let ListenAddr::Tcp(addr) = reactor.listen(&addr, None)? {
        println!("listening on {addr}");
    }
    reactor.run()
}
