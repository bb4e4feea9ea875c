//! What must hold for any input: one function a target, called by the fuzzer and by the tests.
//!
//! ```text
//!   data ──► mode (first byte) ──► what to check, within which limits
//!        └─► input ──► read whole, byte by byte, in uneven pieces ──► one outcome
//! ```
//!
//! A check fails by panicking. Where the pieces are cut follows from the input itself, so that a
//! finding repeats without anything but its file.
#![forbid(unsafe_code)]

pub mod aws_event_stream;
mod centrifuge;
pub mod centrifuge_emulation;
pub mod centrifuge_json;
pub mod centrifuge_protobuf;
pub mod config;
pub mod connection;
pub mod cut;
pub mod http_request;
pub mod http_response;
pub mod provider;
pub mod provider_anthropic;
pub mod provider_bedrock;
pub mod provider_cohere;
pub mod provider_gemini;
pub mod provider_ollama;
pub mod provider_openai;
pub mod provider_openai_responses;
pub mod request_body;
pub mod sse_decoder;
pub mod ws_frames;

/// The first byte and the rest. The mode is a character, so that seeds can be read.
fn mode(data: &[u8]) -> (u8, &[u8]) {
    match data.split_first() {
        Some((&mode, input)) => (mode, input),
        None => (0, data),
    }
}
