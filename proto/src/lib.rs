//! Sans-I/O protocol cores of lmserver: bytes in, events and bytes out.
//!
//! Nothing here owns a socket, asks a clock, draws a random number or starts a thread.
//! That is what lets the same code run under the reactor, the simulator and a fuzzer.

pub mod aws_event_stream;
pub mod centrifuge;
pub mod crc;
pub mod decimal;
pub mod http1;
pub mod json;
pub mod ndjson;
pub mod percent;
pub mod sse;
pub mod ws;
