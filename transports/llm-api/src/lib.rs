//! The APIs of others: programs that were written for them use this server by changing their base
//! URL.
//!
//! ```text
//!   body ──► Dialect::read ──► Asked { ChatRequest, count, …, Telling }      or a Mistake: 400
//!                                        │ the application plans and submits: `count` channels
//!                                        ▼
//!   Teller ── a Transport ──► session ──► cursors into the channels, in the Telling's encoding
//!                                └──► or, at their ends, one whole answer of their snapshots
//! ```
//!
//! A [`Dialect`] reads request bodies. A [`Telling`] says how one answer is told: its encoding,
//! what stands behind the last event, the whole answer, a failure. The session is the same for all
//! of them. Every answer is a channel, so that others can watch it in any way that there is; its
//! name is the answer's id in other letters ([`names`]).
//!
//! An encoding of these dialects has a memory (an [`Encoder`]), and writes nothing for the `start`
//! event: what a stream begins with stands in front of the first content. So the head of a response
//! is written when the outcome is known, and an early failure is an HTTP error, not a stream.
//!
//! [`Encoder`]: lmserver_runtime::plugin::transport::Encoder

pub mod anthropic_messages;
mod body;
pub mod chat_completions;
mod dialect;
mod fault;
mod json;
pub mod names;
mod openai;
pub mod responses;
mod session;
mod sse;
#[cfg(test)]
mod testing;
pub mod ui;

pub use dialect::{About, Asked, Dialect, Mistake, Telling};
pub use session::Teller;
