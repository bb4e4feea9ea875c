//! The client protocol of Centrifugo and its SDKs, without I/O: commands in, replies and pushes
//! out, in both encodings.
//!
//! ```text
//!  frame ──► Commands::of ──► Command ──┐                 (decode.rs, command.rs)
//!                                       ├─► the session decides
//!  bytes ◄── Protocol::reply ◄── Reply ─┤                 (reply.rs, push.rs)
//!        ◄── Protocol::push  ◄── Push ──┘
//! ```
//!
//! | | JSON | Protobuf |
//! | --- | --- | --- |
//! | between messages | a line feed | each has its length in front, as a varint |
//! | payloads | any JSON value, as it is | any bytes |
//! | ping and pong | `{}` | the byte 0 |
//!
//! A command carries at most one request and a reply at most one result. What has no id and no
//! result is a push; what is empty is a ping. The messages and their fields stand once, in order of
//! their numbers, which is also the order of the keys in JSON.
//!
//! # Contract
//!
//! Nothing here keeps state between frames: what to do about a command is the session's business.
//! Commands borrow from the frame, and encoding appends to a vector without building anything in
//! between. A payload that goes out as JSON must be one valid JSON value without line breaks; it is
//! cleaned when it enters the server, not here.
//!
//! # Bounds
//!
//! A frame is as long as its transport lets it be; a length that the peer announces is checked
//! against the frame and never reserved. The commands of a frame are bounded by the caller, the
//! entries of a map by [`SUBSCRIPTIONS`] and [`HEADERS`], a tags filter by
//! [`filter::NODES`], [`filter::DEPTH`] and [`filter::VALUES`].
//!
//! # Example
//!
//! ```
//! use lmserver_proto::centrifuge::{Commands, Protocol, Reply, ReplyResult, Request};
//!
//! let frame = br#"{"id":3,"unsubscribe":{"channel":"news"}}"#;
//! let mut out = Vec::new();
//! for command in Commands::of(Protocol::Json, frame, 16) {
//!     let command = command?;
//!     if let Request::Unsubscribe { channel } = &command.request {
//!         assert_eq!(channel, "news");
//!         let reply = Reply { id: command.id, result: ReplyResult::Unsubscribe };
//!         Protocol::Json.reply(&reply, &mut out);
//!     }
//! }
//! assert_eq!(out, br#"{"id":3,"unsubscribe":{}}"#);
//! # Ok::<(), lmserver_proto::centrifuge::DecodeError>(())
//! ```

pub mod code;
pub mod command;
mod decode;
pub mod delta;
mod encode;
pub mod filter;
mod protobuf;
pub mod push;
pub mod reply;

pub use self::code::{Disconnect, DisconnectCode, Error, ErrorCode, Unsubscribe, UnsubscribeCode};
pub use self::command::{
    Command, ConnectRequest, HEADERS, Headers, HistoryRequest, PublishRequest, Request,
    SUBSCRIPTIONS, StreamPosition, SubRefreshRequest, SubscribeRequest, Subscriptions, TagsFilter,
};
pub use self::decode::{Commands, DecodeError, EmulationRequest};
pub use self::push::{Channel, ClientInfo, Publication, Push, PushEvent, Tag};
pub use self::reply::{
    ConnectResult, HistoryResult, PushSubscribe, Reply, ReplyResult, SubscribeResult,
    SubscribeResultWriter, Subscription,
};

/// An encoding, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Objects in lines; payloads are embedded JSON values.
    Json,
    /// Messages with their length in front; payloads are bytes.
    Protobuf,
}
