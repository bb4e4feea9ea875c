//! Recorded answers, and vectors for what is documented but was never recorded.

use lmserver_runtime::plugin::provider::Generation;

#[path = "../../../tests/common/replay.rs"]
mod replay;

fn generation() -> Box<dyn Generation> {
    replay::generation(lmserver_bedrock::open, "http://api.example", &[])
}

#[test]
fn recordings_decode_to_what_is_expected() {
    let folder = "../shared/fixtures/providers";
    replay::folder(folder, "bedrock", 6, &generation);
}

#[test]
fn vectors_for_documented_quirks_decode_to_what_is_expected() {
    replay::folder("tests/data/bedrock", "bedrock", 40, &generation);
}
