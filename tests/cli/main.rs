//! The program from outside: its command line, its configuration, what it says and never says.

#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(
    clippy::disallowed_types,
    reason = "a script of a server needs sockets"
)]

mod ask;
mod check;
mod clients;
mod commands;
mod conformance;
mod example;
mod precedence;
mod program;
mod serve;
