//! Recorded answers, and vectors for what is documented but was never recorded.

use lmserver_runtime::plugin::provider::Generation;

#[path = "../../../tests/common/replay.rs"]
mod replay;

fn generation() -> Box<dyn Generation> {
    replay::generation(lmserver_ollama::open, "http://api.example", &[])
}

#[test]
fn recordings_of_the_real_service_decode_to_what_is_expected() {
    replay::folder("../shared/fixtures/providers", "ollama", 10, &generation);
}

#[test]
fn vectors_for_documented_quirks_decode_to_what_is_expected() {
    replay::folder("tests/data/ollama", "ollama", 30, &generation);
}
