//! The HTTP API as a client sees it, with a scripted engine behind it: every route, method,
//! origin and credential, and bodies of all kinds.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot go on without ends it, in its harness too"
)]

mod chat;
mod clients;
mod emulation;
mod harness;
mod listening;
#[cfg(feature = "llm-api")]
mod messages;
#[cfg(feature = "llm-api")]
mod openai;
mod publishing;
mod questions;
mod routes;
mod server_api;
#[cfg(feature = "llm-api")]
mod ui;
