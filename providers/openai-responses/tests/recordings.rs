//! Recorded answers, and vectors for what is documented but was never recorded.

use lmserver_runtime::plugin::provider::Generation;

#[path = "../../../tests/common/replay.rs"]
mod replay;

fn generation() -> Box<dyn Generation> {
    replay::generation(
        lmserver_openai_responses::open,
        "http://api.example/v1",
        &[],
    )
}

#[test]
fn recordings_of_many_servers_decode_to_what_is_expected() {
    replay::folder(
        "../shared/fixtures/providers",
        "openai-responses",
        35,
        &generation,
    );
}

#[test]
fn vectors_for_documented_quirks_decode_to_what_is_expected() {
    replay::folder(
        "tests/data/openai-responses",
        "openai-responses",
        1,
        &generation,
    );
}
