//! The transports in the engine, with simulated clients: what clients send and what they get, byte
//! for byte where nothing is random.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

mod commands;
mod connect;
mod open;
mod recovery;
mod site;
mod streams;
mod subscribe;
mod unidirectional;
mod weather;
mod world;
