//! The program over real sockets: between scripted providers and clients of all kinds.
//!
//! Each test runs the program as a child of its own and plays the provider and the clients in
//! turn, so that the order of things is the test's. Nothing sleeps: every wait is for something
//! that must come, and ten seconds without it are a failure.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the sockets are what is tested with, and clocks judge delays"
)]

mod answers;
mod certificates;
mod client;
mod clients;
mod connections;
mod crowd;
mod deadlines;
mod failures;
mod files;
mod formats;
mod keys;
mod life;
mod listeners;
mod metrics;
mod openai;
mod program;
#[path = "../common/centrifugo_protobuf.rs"]
mod protobuf;
mod provider;
mod provider_tls;
mod proxy;
mod requests;
mod resume;
mod sdk;
#[path = "../common/signer.rs"]
mod signer;
mod stuck;
mod websocket;
mod wire;
