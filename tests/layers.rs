//! The layers hold: what the engine's files import, and what the packages depend on.
//!
//! The order of the files is the drawing in the documentation of `lmserver_runtime`, so the
//! drawing cannot be wrong.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What must not be known where there is no input and output.
const SOCKETS: [&str; 5] = ["mio", "rustls", "socket2", "signal-hook", "rustix"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder that end in `.rs`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The engine's files, each by its path of modules: `["channel", "registry"]`.
fn engine() -> BTreeMap<Vec<String>, String> {
    let folder = root().join("runtime/src");
    let name = |path: &Path| {
        let path = path
            .strip_prefix(&folder)
            .expect("a path below")
            .with_extension("");
        path.iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect()
    };
    let files = sources(&folder)
        .into_iter()
        .map(|path| (name(&path), read(&path)));
    files
        .filter(|(name, _): &(Vec<_>, _)| *name != ["lib"])
        .collect()
}

/// The first drawing behind `beginning` in a file, line by line, without what indents it.
fn drawn(path: &str, beginning: &str) -> Vec<String> {
    let text = read(&root().join(path));
    let (_, rest) = text.split_once(beginning).expect("a drawing");
    let lines = rest.lines().map(|line| line.trim_start_matches("//!"));
    let drawing = lines
        .map(str::trim_start)
        .skip_while(|line| *line != "```text");
    let drawing = drawing.skip(1).take_while(|line| *line != "```");
    drawing.map(str::to_owned).collect()
}

/// The level of each module in the drawing, counted from the top line of it.
fn drawing() -> BTreeMap<String, usize> {
    let mut levels = BTreeMap::new();
    for (level, line) in drawn("runtime/src/lib.rs", "").iter().enumerate() {
        let (modules, _) = line.split_once("  ").unwrap_or((line, ""));
        for module in modules.split(' ') {
            let former = levels.insert(module.to_owned(), level);
            assert_eq!(former, None, "{module} stands twice in the drawing");
        }
    }
    levels
}

/// The paths behind `crate::` in code, comments left out.
fn imports(text: &str) -> BTreeSet<Vec<String>> {
    let mut paths = BTreeSet::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for (_, path) in line
            .match_indices("crate::")
            .map(|(at, found)| line.split_at(at + found.len()))
        {
            assert!(
                !path.starts_with('{'),
                "one import a line, or this test cannot read it: {line}"
            );
            let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = end.map_or(path, |end| path.split_at(end).0);
            paths.insert(path.split("::").map(str::to_owned).collect());
        }
    }
    paths
}

#[test]
fn no_file_of_the_engine_imports_upward() {
    let levels = drawing();
    let files = engine();
    let modules: BTreeSet<_> = files.keys().filter_map(|name| name.first()).collect();
    assert_eq!(
        modules,
        levels.keys().collect(),
        "the drawing shows every module"
    );
    let mut upward = Vec::new();
    for (name, text) in &files {
        for import in imports(text) {
            let (from, to) = (levels[&name[0]], levels.get(&import[0]));
            let to = to.unwrap_or_else(|| panic!("{name:?} imports {import:?}"));
            if *to > from {
                upward.push(format!(
                    "{} imports crate::{}",
                    name.join("/"),
                    import.join("::")
                ));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn the_documentation_has_the_same_drawing() {
    let told = drawn("docs/architecture.md", "Inside `runtime/src`");
    let words = |lines: Vec<String>| -> Vec<Vec<String>> {
        let words = |line: &String| line.split_whitespace().map(str::to_owned).collect();
        lines.iter().map(words).collect()
    };
    assert_eq!(words(told), words(drawn("runtime/src/lib.rs", "")));
}

#[test]
fn no_two_files_of_the_engine_import_each_other() {
    let files = engine();
    let file_of = |import: &[String]| {
        let lengths = (1..=import.len()).rev();
        lengths
            .map(|length| import[..length].to_vec())
            .find(|name| files.contains_key(name))
    };
    let mut left: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, text) in &files {
        let imported = imports(text)
            .iter()
            .filter_map(|import| file_of(import))
            // A macro names its own file.
            .filter(|file| file != name)
            .collect();
        left.insert(name.clone(), imported);
    }
    // What imports nothing that is left goes; a circle stays.
    loop {
        let names: BTreeSet<_> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, imported| !imported.is_disjoint(&names));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "these import each other: {left:#?}");
}

/// The packages that a package depends on, to run and to be tested.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = read(manifest);
    let manifest = toml_span::parse(&text).expect("a manifest");
    let mut names = BTreeSet::new();
    for table in ["/dependencies", "/dev-dependencies"] {
        let table = manifest.pointer(table).and_then(|value| value.as_table());
        names.extend(
            table
                .into_iter()
                .flatten()
                .map(|(key, _)| key.name.to_string()),
        );
    }
    names
}

fn own(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("lmserver"))
        .collect()
}

#[test]
fn a_plugin_depends_on_the_engine_and_the_codecs_only() {
    let mut plugins = 0;
    for folder in ["providers", "transports"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder") {
            let manifest = entry.expect("an entry").path().join("Cargo.toml");
            let names = dependencies(&manifest);
            let allowed = BTreeSet::from(["lmserver-proto", "lmserver-runtime"]);
            assert!(
                own(&names).is_subset(&allowed),
                "{}: {names:?}",
                manifest.display()
            );
            assert!(
                SOCKETS.iter().all(|name| !names.contains(*name)),
                "{}: {names:?}",
                manifest.display()
            );
            plugins += 1;
        }
    }
    assert!(
        plugins >= 4,
        "the plugins stand in providers/ and transports/"
    );
}

#[test]
fn the_engine_knows_the_codecs_and_no_plugin() {
    let names = dependencies(&root().join("runtime/Cargo.toml"));
    assert_eq!(own(&names), BTreeSet::from(["lmserver-proto"]));
}

#[test]
fn the_codecs_know_no_socket_and_nothing_of_ours() {
    let names = dependencies(&root().join("proto/Cargo.toml"));
    assert_eq!(own(&names), BTreeSet::new());
    assert!(
        SOCKETS.iter().all(|name| !names.contains(*name)),
        "{names:?}"
    );
}
