//! The configurations for the suites of Centrifugo's SDKs are good ones.

use std::path::Path;

use crate::program::Program;

#[test]
fn check_accepts_the_configuration_of_each_suite() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let done = Program::new().file("lmserver.toml", &text).run(&["check"]);
        let said = format!("{}: {}", path.display(), done.stderr);
        assert_eq!(done.code, 0, "{said}");
        assert!(done.stdout.contains("listen    127.0.0.1:8000\n"), "{said}");
        seen += 1;
    }
    assert_eq!(seen, 6, "one for each SDK");
}
