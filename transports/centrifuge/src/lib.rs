//! The client protocol of Centrifugo, for its SDKs and for clients without one.
//!
//! ```text
//!   websocket               commands and replies, pushes            JSON, Protobuf
//!   sse, http_stream        replies and pushes; commands come in    JSON, Protobuf (http_stream)
//!                           requests of their own (emulation)
//!   uni_websocket, uni_sse,
//!   uni_http_stream         pushes alone, behind one request        JSON
//!
//!   open ─► Client (session.rs)
//!             bytes ──► dispatch ──► connect, subscribe, commands ──► the application's verdict
//!             placement.rs   what was asked of the engine has its place: the reply
//!             encoding.rs    publications as the log keeps them, for all clients of a kind
//!             carrier.rs     what is around a message
//! ```
//!
//! A session is the state of the protocol and nothing else: who the client is, what it is
//! subscribed to, what is due. What a client may do the application says
//! ([`lmserver_runtime::plugin::access`]); publications, members and positions are the engine's.
//! The reply to a subscribe command carries the first of what was missed, and the log writes the
//! rest behind it.
//!
//! # Ends
//!
//! | a connection ends with | because |
//! | --- | --- |
//! | 3001, 3004 | the server stops; the server is at fault |
//! | 3005, 3006, 3012 | a token was not refreshed, a ping was not answered, in time |
//! | 3008, 3010 | the client takes nothing; it lost its place in a channel the server chose |
//! | 3013 | commands come too fast |
//! | 3500 to 3508 | the client is not welcome, or breaks the protocol |
//!
//! On a WebSocket that is the code of a close frame, which waits five seconds for its answer. Other
//! responses end behind a push with it. A client of `http_stream` that shall come back later gets
//! the status 503, since a stream that ends at once it opens again at once. Behind an *error* that
//! answers a connect command the stream stays open, for some clients would miss the answer
//! otherwise: they close it themselves, or it becomes stale.
//!
//! # Bounds
//!
//! An idle session with one subscription is less than 320 bytes, names included. A message of a
//! client, its commands and their rate are bounded by the application's
//! [settings](lmserver_runtime::plugin::access::ClientSettings); at most 256 KiB of messages wait
//! for a placement, which comes in the same turn.

mod carrier;
mod closing;
mod commands;
mod connect;
mod dispatch;
mod encoding;
mod expiry;
mod mounts;
mod placement;
mod queue;
mod session;
mod signals;
mod stream;
mod subscribe;
mod subscription;
mod timers;

pub use self::mounts::{
    Centrifuge, HttpStream, Sse, UniHttpStream, UniSse, UniWebSocket, WebSocket,
};
