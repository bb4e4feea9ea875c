//! The command line, as a shell sees it.

use crate::program::Program;

#[test]
fn help_names_every_command_flag_and_variable() {
    for flag in ["--help", "-h", "help"] {
        let done = Program::new().run(&[flag]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{flag}");
        for word in [
            "lmserver [serve]",
            "lmserver check",
            "lmserver ask",
            "--config FILE",
            "--listen ADDR",
            "--allow-origin ORIGIN",
            "--log LEVEL",
            "--help",
            "--version",
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_MODEL",
            "HOST, PORT",
            "LMSERVER_CONFIG",
            "gpt-4o-mini",
        ] {
            assert!(
                done.stdout.contains(word),
                "{word} is missing in:\n{}",
                done.stdout
            );
        }
        let widest = done.stdout.lines().map(str::len).max();
        assert!(widest <= Some(80), "{widest:?} columns");
    }
}

#[test]
fn the_fake_has_a_help_of_its_own() {
    let done = Program::new().run(&["fake", "--help"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    for word in [
        "words=N",
        "cut@PLACE",
        "/fake/requests",
        "--listen ADDR",
        "converse-stream",
    ] {
        assert!(done.stdout.contains(word), "{word} is missing");
    }
    let widest = done.stdout.lines().map(str::len).max();
    assert!(widest <= Some(80), "{widest:?} columns");
}

#[test]
fn a_mistake_in_the_words_of_the_fake_exits_with_2() {
    for (args, want) in [
        (
            &["fake", "delay=5h"][..],
            "\"delay=5h\": a time is 5ms, 2s or 1m",
        ),
        (
            &["fake", "wrods=5"],
            "\"wrods=5\": there is no such setting",
        ),
        (&["fake", "cut"], "\"cut\": it needs a place, as in cut@3"),
        (
            &["fake", "--config", "a.toml"],
            "`lmserver fake` takes no --config",
        ),
        (
            &["fake", "--listen", "9099"],
            "--listen 9099: an address is",
        ),
    ] {
        let done = Program::new().run(args);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{args:?}");
        assert!(done.stderr.contains(want), "{args:?}: {}", done.stderr);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let want = concat!("lmserver ", env!("CARGO_PKG_VERSION"), "\n");
    for flag in ["--version", "-V"] {
        let done = Program::new().run(&[flag]);
        assert_eq!(
            (done.code, done.stdout.as_str(), done.stderr.as_str()),
            (0, want, "")
        );
    }
}

#[test]
fn a_usage_mistake_exits_with_2_and_names_the_nearest_flag() {
    let done = Program::new().run(&["--lisen", "127.0.0.1:0"]);
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert_eq!(
        done.stderr,
        "lmserver: unknown flag --lisen; did you mean --listen?\n\
         Try 'lmserver --help' for what there is.\n"
    );
}

#[test]
fn a_mistake_in_a_flag_or_a_variable_is_a_configuration_mistake() {
    for (args, variables, want) in [
        (
            &["check", "--listen", "8080"][..],
            &[][..],
            "--listen: error: \"8080\" has no address\n    fix: write \"127.0.0.1:8080\"\n",
        ),
        (
            &["check", "--log", "loud"],
            &[],
            "--log: error: \"loud\" is not a log level\n    \
             fix: write off, error, warn, info, debug or trace\n",
        ),
        (
            &["check", "--allow-origin", "app.example"],
            &[],
            "--allow-origin: error: \"app.example\" is not an origin\n    \
             fix: write scheme://host, like \"https://app.example\", or \"null\" for file://\n",
        ),
        (
            &["check"],
            &[("PORT", "http")],
            "environment variable PORT: error: \"http\" is not a port\n    \
             fix: write a number from 0 to 65535\n",
        ),
        (
            &["serve"],
            &[("HOST", "my.host")],
            "environment variable HOST: error: \"my.host\" is not an IP address\n    \
             fix: write an IP address: 127.0.0.1 for this machine alone, 0.0.0.0 for all\n",
        ),
        (
            &["--config", "missing.toml"],
            &[],
            "missing.toml: error: cannot read the configuration: No such file or directory\n    \
             fix: name a readable TOML file with --config or LMSERVER_CONFIG\n",
        ),
        (
            &["check"],
            &[("LMSERVER_CONFIG", "missing.toml")],
            "missing.toml: error: cannot read the configuration: No such file or directory\n    \
             fix: name a readable TOML file with --config or LMSERVER_CONFIG\n",
        ),
    ] {
        let mut program = Program::new().set("OPENAI_API_KEY", "sk-topsecret");
        for (name, value) in variables {
            program = program.set(name, value);
        }
        let done = program.run(args);
        assert_eq!(done.code, 2, "{args:?}");
        let want = format!("{want}1 mistake in the configuration\n");
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str()),
            ("", want.as_str()),
            "{args:?}"
        );
    }
}
