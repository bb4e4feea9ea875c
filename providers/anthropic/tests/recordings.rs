//! Recorded answers, and vectors for what is documented but was never recorded.

use lmserver_runtime::plugin::provider::Generation;

#[path = "../../../tests/common/replay.rs"]
mod replay;

fn generation() -> Box<dyn Generation> {
    replay::generation(lmserver_anthropic::open, "http://api.example/v1", &[])
}

#[test]
fn recordings_decode_to_what_is_expected() {
    let folder = "../shared/fixtures/providers";
    replay::folder(folder, "anthropic", 37, &generation);
}

#[test]
fn vectors_for_documented_quirks_decode_to_what_is_expected() {
    replay::folder("tests/data/anthropic", "anthropic", 30, &generation);
}
