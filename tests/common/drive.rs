//! Feeding the answer of a provider to a generation the way the engine does.
//!
//! Included with `#[path]`.

use lmserver_runtime::plugin::provider::{Generation, Output, ProviderError};

/// Hands over the pieces, then the end of the connection; `see` gets every output. There is one
/// end, or one error, and nothing comes after it.
pub(crate) fn drive<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut generation: Box<dyn Generation>,
    see: &mut dyn FnMut(Output),
) -> Option<ProviderError> {
    let mut out = Vec::new();
    let mut has_ended = false;
    for piece in pieces.into_iter().map(Some).chain([None]) {
        let result = match piece {
            Some(piece) => generation.receive(piece, &mut out),
            None if has_ended => return None,
            None => generation.closed(&mut out),
        };
        for output in out.drain(..) {
            assert!(!has_ended, "{output:?} after the end");
            has_ended = matches!(output, Output::End { .. });
            see(output);
        }
        if let Err(error) = result {
            assert!(!has_ended, "{error} after the end");
            return Some(error);
        }
    }
    assert!(has_ended, "no end at all");
    None
}
