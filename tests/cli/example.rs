//! `lmserver.example.toml` is whole, true and good.

use std::collections::BTreeSet;

use lmserver::Plugins;
use lmserver::config::{Client, Config, Environment, Flags, Inputs};
use lmserver::runtime::limits::{ChannelLimits, Limits};
use lmserver::runtime::routing::{ProviderTimers, Resilience};

use crate::program::Program;

const EXAMPLE: &str = include_str!("../../lmserver.example.toml");

/// The example with its commented keys and sections in force.
fn in_force() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn check_accepts_the_example() {
    let done = Program::new()
        .file("lmserver.toml", EXAMPLE)
        .run(&["check"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn check_accepts_the_example_with_all_that_it_shows_in_force() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let example = in_force();
    let variables = example
        .split("\"env:")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let program = variables
        .fold(Program::new(), |program, name| {
            program.set(name, &format!("topsecret-of-{name}-long-enough-for-hs256"))
        })
        .file("rsa.pem", include_str!("../data/tokens/rsa.spki.pem"))
        .file("ecdsa.pem", include_str!("../data/tokens/p256.pem"))
        .file("jwks.json", include_str!("../data/tokens/jwks.json"))
        .file("cert.pem", &certified.cert.pem())
        .file("key.pem", &certified.signing_key.serialize_pem())
        .file("ca.pem", &certified.cert.pem())
        .file("lmserver.toml", &example);
    let done = program.run(&["check"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(!done.stdout.contains("topsecret"), "{}", done.stdout);
}

#[test]
fn the_example_lists_every_key_that_the_program_knows() {
    let text = in_force();
    let (mut listed, mut section) = (BTreeSet::new(), String::new());
    let mut titles = BTreeSet::new();
    for line in text.lines() {
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = title.to_owned();
            titles.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            listed.insert((section.clone(), key.to_owned()));
        }
    }
    let environment = Environment::default();
    let plugins = Plugins::builtin();
    let inputs = Inputs {
        flags: &Flags::default(),
        environment: &environment,
        plugins: &plugins,
    };
    let known = Config::known_keys("lmserver.example.toml", &text, inputs);
    assert!(known.len() > 40, "{known:?}");
    for (section, key) in known {
        let is_shared = section.starts_with("provider.") && section != "provider.openai";
        let is_repeated = section == "client.subscription_token";
        let is_inline = section.ends_with(".targets");
        let own = section == "provider.echo" && key == "delay";
        if section.is_empty()
            || section == "server.tls"
            || is_inline
            || (is_shared && !own)
            || is_repeated
        {
            continue;
        }
        let found = listed.contains(&(section.clone(), key.clone()))
            || titles.contains(&format!("{section}.{key}"));
        assert!(
            found,
            "lmserver.example.toml does not list `{key}` in [{section}]"
        );
    }
}

#[test]
fn the_values_of_the_example_are_the_defaults() {
    let environment = Environment::from([("OPENAI_API_KEY", "k")]);
    let plugins = Plugins::builtin();
    let inputs = Inputs {
        flags: &Flags::default(),
        environment: &environment,
        plugins: &plugins,
    };
    let read = |text: &str| match Config::from_text("x", text, ".".as_ref(), inputs) {
        Ok((config, _)) => config,
        Err(report) => panic!("{report}"),
    };
    let keys = [
        "connect_",
        "first_event_",
        "between_events_",
        "total_",
        "retries",
        "retry_",
        "breaker_",
        "max_concurrent",
        "max_queued",
        "queue_",
    ];
    let engine: String = in_force()
        .lines()
        .filter(|line| keys.iter().any(|key| line.starts_with(key)))
        .map(|line| format!("{line}\n"))
        .collect();
    let written = read(&format!("[provider.openai]\n{engine}"));
    let instance = &written.routing.providers["openai"];
    assert_eq!(instance.timers, ProviderTimers::default());
    // The one that has no default is shown with a value.
    let resilience = Resilience {
        max_concurrent: Some(100),
        ..Resilience::default()
    };
    assert_eq!(instance.resilience, resilience);
    let (example, bare) = (
        read(EXAMPLE),
        read("[provider.echo]\n[model.default]\ntargets = [\"echo/x\"]"),
    );
    assert_eq!(example.server.listen, bare.server.listen);
    assert_eq!(example.server.page, bare.server.page);
    assert_eq!(example.auth, bare.auth);
    assert_eq!(example.limits, Limits::default());
    assert_eq!(example.channels, ChannelLimits::default());
    assert_eq!(example.open_channels, bare.open_channels);
    assert_eq!(example.client, Client::default());
    assert_eq!(example.namespaces, bare.namespaces);
    assert_eq!(example.log, bare.log);
}
