//! What comes of an answer, output for output.
//!
//! Included with `#[path]`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use lmserver_runtime::plugin::provider::{ChatRequest, OpenProvider, Output, StartCx};

use drive::drive;
use section::{Keys, settings};

#[path = "drive.rs"]
mod drive;
#[path = "section.rs"]
mod section;

/// Everything that a provider makes of a response in pieces of this size, `Alive` apart, and then
/// the one end.
pub(crate) fn outcome(open: OpenProvider, response: &[u8], size: usize) -> Vec<String> {
    let settings = settings(Some("http://api.example"), None);
    let provider = open(settings, &mut Keys::default()).expect("a provider");
    let start = provider.start(&ChatRequest::default(), "m", StartCx::default());
    let generation = start.expect("a generation").generation;
    let mut seen = Vec::new();
    let error = drive(response.chunks(size), generation, &mut |output| {
        if output != Output::Alive {
            seen.push(format!("{output:?}"));
        }
    });
    seen.extend(error.map(|error| format!("{error:?}")));
    seen
}
