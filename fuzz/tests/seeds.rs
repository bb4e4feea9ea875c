//! Every seed holds without a fuzzer, so that an ordinary test run knows them too.

use std::path::Path;

fn each(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let entries = std::fs::read_dir(&folder).expect("a folder of seeds");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&std::fs::read(path).expect("a seed"));
        count += 1;
    }
    assert!(count > 0, "{target} has seeds");
}

#[test]
fn http_request() {
    each("http_request", lmserver_fuzz::http_request::check);
}

#[test]
fn http_response() {
    each("http_response", lmserver_fuzz::http_response::check);
}

#[test]
fn ws_frames() {
    each("ws_frames", lmserver_fuzz::ws_frames::check);
}

#[test]
fn sse_decoder() {
    each("sse_decoder", lmserver_fuzz::sse_decoder::check);
}

#[test]
fn aws_event_stream() {
    each("aws_event_stream", lmserver_fuzz::aws_event_stream::check);
}

#[test]
fn provider_anthropic() {
    each(
        "provider_anthropic",
        lmserver_fuzz::provider_anthropic::check,
    );
}

#[test]
fn provider_bedrock() {
    each("provider_bedrock", lmserver_fuzz::provider_bedrock::check);
}

#[test]
fn provider_openai() {
    each("provider_openai", lmserver_fuzz::provider_openai::check);
}

#[test]
fn provider_gemini() {
    each("provider_gemini", lmserver_fuzz::provider_gemini::check);
}

#[test]
fn provider_ollama() {
    each("provider_ollama", lmserver_fuzz::provider_ollama::check);
}

#[test]
fn provider_cohere() {
    each("provider_cohere", lmserver_fuzz::provider_cohere::check);
}

#[test]
fn provider_openai_responses() {
    each(
        "provider_openai_responses",
        lmserver_fuzz::provider_openai_responses::check,
    );
}

#[test]
fn config() {
    each("config", lmserver_fuzz::config::check);
}

#[test]
fn request_body() {
    each("request_body", lmserver_fuzz::request_body::check);
}

#[test]
fn connection() {
    each("connection", lmserver_fuzz::connection::check);
}

#[test]
fn centrifuge_json() {
    each("centrifuge_json", lmserver_fuzz::centrifuge_json::check);
}

#[test]
fn centrifuge_protobuf() {
    each(
        "centrifuge_protobuf",
        lmserver_fuzz::centrifuge_protobuf::check,
    );
}

#[test]
fn centrifuge_emulation() {
    each(
        "centrifuge_emulation",
        lmserver_fuzz::centrifuge_emulation::check,
    );
}
