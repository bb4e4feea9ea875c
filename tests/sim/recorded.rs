//! Answers of real providers, as they were recorded: whoever is cut off sees the same as whoever
//! is not, and both see what the recording says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lmserver::runtime::sys::sim::{Faults, Random};
use serde_json::Value;

use crate::client::Question;
use crate::scene::scene;
use crate::script::{self, Framing, response};
use crate::watcher::{Leg, Via, Watcher};

fn recordings() -> Vec<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/providers/openai-chat");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no recordings at {}\n", folder.display()),
        );
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sse"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_recorded_answer_is_seen_whole_however_often_its_watchers_are_cut_off() {
    let mut dice = Random::new(1);
    for path in recordings() {
        let body = std::fs::read(&path).unwrap();
        let expected = std::fs::read(path.with_extension("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for round in 0..4 {
            let framing = [Framing::Chunked, Framing::UntilClose][round % 2];
            let bytes = response("200 OK", "text/event-stream", framing, &body);
            let mut acts = script::pieces(&mut dice, &bytes, 40);
            acts.push(script::Act::Close);
            let mut watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
            watchers.extend((0..12).map(|_| {
                let mut legs: Vec<Leg> = (0..8)
                    .map(|_| {
                        let via = dice.pick(&Via::ALL);
                        let cut = dice.index(2500);
                        Leg::new(via).cut(cut).after(dice.below(60))
                    })
                    .collect();
                legs.push(Leg::new(dice.pick(&Via::ALL)));
                Watcher::new(legs)
            }));
            let faults = [Faults::default(), Faults::unkind()][round / 2];
            let mut scene = scene(
                |setup| setup.faults = faults,
                acts,
                |ask| Question::new(ask, watchers),
            );
            scene.world.run(Duration::from_secs(600));
            let question = scene.question();
            let first = &question.watchers[0];
            let name = path.display();
            assert_eq!(first.text(), expected["text"].as_str().unwrap(), "{name}");
            for watcher in &question.watchers {
                watcher.expect_a_whole_stream();
                let told = watcher.seen.iter().map(|seen| (&seen.id, &seen.json));
                let same = told.eq(first.seen.iter().map(|seen| (&seen.id, &seen.json)));
                assert!(same, "{name}: all see the same");
            }
        }
    }
}
