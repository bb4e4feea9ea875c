//! What the tests of this crate send.

use lmserver_runtime::plugin::provider::{ChatRequest, OpenProvider, ProviderSettings, StartCx};

use crate::section::Keys;

/// What a provider sends to the model `m/1`, opened without mistakes from a section of which
/// nothing is left.
pub(crate) fn sent(open: OpenProvider, settings: ProviderSettings, section: &mut Keys) -> String {
    let provider = open(settings, section).unwrap();
    assert_eq!(section.mistakes, Vec::<String>::new());
    assert!(section.values.is_empty());
    let question = ChatRequest {
        max_tokens: Some(9),
        ..ChatRequest::default()
    };
    let start = provider
        .start(&question, "m/1", StartCx::default())
        .unwrap();
    String::from_utf8(start.upstream.unwrap().request).unwrap()
}
