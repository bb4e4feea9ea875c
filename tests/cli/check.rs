//! `lmserver check`: files with mistakes, and the reports that they get, word for word.
//!
//! `tests/data/config/NAME.toml` is checked under the name `NAME.toml`; its report stands in
//! `NAME.report`. With `UPDATE_REPORTS=1` the reports are written instead, to be read before they
//! are committed.

use std::path::Path;

use crate::program::{Done, Program};

/// What no output may hold: every secret of these tests contains it.
const SECRET: &str = "topsecret";

fn check(text: &str) -> Done {
    let program = Program::new()
        .set("TEST_API_KEY", "sk-topsecret-from-the-environment")
        .set("TEST_EMPTY", "")
        .file("secret.txt", "sk-topsecret-from-a-file\n")
        .file("other.toml", "[provider.echo]\n");
    program.file("lmserver.toml", text).run(&["check"])
}

#[test]
fn every_mistake_of_a_file_is_reported_in_one_go() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let done = check(&std::fs::read_to_string(&path).unwrap());
        let report = path.with_extension("report");
        let got = format!("{}{}exit {}\n", done.stdout, done.stderr, done.code);
        let got = without_kinds(&got);
        assert!(
            !got.contains(SECRET),
            "{}: a secret is shown:\n{got}",
            path.display()
        );
        if std::env::var_os("UPDATE_REPORTS").is_some() {
            std::fs::write(&report, &got).unwrap();
        }
        let want = std::fs::read_to_string(&report).unwrap_or_default();
        assert!(
            got == want,
            "{}\n--- got\n{got}--- want\n{want}",
            path.display()
        );
    }
    assert!(seen >= 8, "{seen} files");
}

/// The report without the list of kinds, which depends on the build.
fn without_kinds(report: &str) -> String {
    const LIST: &str = "this build has: ";
    let lines = report.lines().map(|line| match line.split_once(LIST) {
        Some((before, _)) => format!("{before}{LIST}…\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn the_configurations_for_the_suites_of_sdks_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let done = check(&std::fs::read_to_string(&path).unwrap());
            assert_eq!(done.code, 0, "{}: {}", path.display(), done.stderr);
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} files");
}

#[test]
fn a_good_configuration_is_summed_up_without_its_secrets() {
    let done = check(
        "[server]\nlisten = \"127.0.0.1:9000\"\nallowed_origins = [\"https://App.example:443\"]\n\
         [auth]\napi_keys = [\"env:TEST_API_KEY\", \"file:secret.txt\"]\n\
         [provider.openai]\napi_key = \"env:TEST_API_KEY\"\n\
         [provider.echo]\n\
         [model.default]\ntargets = [\"openai/gpt-4o-mini\", \"echo/echo\"]\n",
    );
    assert_eq!(done.stderr, "");
    assert_eq!(
        done.stdout,
        "configuration is good: lmserver.toml\n\
         listen    127.0.0.1:9000\n\
         api keys  2 keys\n\
         origins   https://app.example\n\
         provider  openai: kind openai, https://api.openai.com\n\
         provider  echo: kind echo, offline\n\
         model     default: openai/gpt-4o-mini, then echo/echo\n"
    );
    assert_eq!(done.code, 0);
}

#[test]
fn a_fresh_machine_is_told_that_it_runs_offline() {
    let done = Program::new().run(&["check"]);
    assert_eq!(done.code, 0);
    assert_eq!(
        done.stderr,
        "configuration: warning: no configuration file and no OPENAI_API_KEY: the built-in \
         offline provider `echo` answers with the user's own words\n    \
         fix: set OPENAI_API_KEY, or write lmserver.toml (see lmserver.example.toml)\n"
    );
    assert!(
        done.stdout.contains("model     default: echo/echo\n"),
        "{}",
        done.stdout
    );
}

#[test]
fn the_summary_shows_who_shares_the_work() {
    let done = check(
        "[provider.echo]\n[model.default]\n\
         targets = [[\"echo/a\", { target = \"echo/b\", weight = 3 }], \"echo/c\", [\"echo/d\"]]\n",
    );
    let want = "model     default: echo/a (1) or echo/b (3), then echo/c, then echo/d\n";
    assert!(done.stdout.contains(want), "{}{}", done.stdout, done.stderr);
}

#[test]
fn a_server_that_anybody_can_reach_without_a_key_is_a_loud_warning() {
    for (listen, warned) in [
        ("0.0.0.0:8080", true),
        ("[::]:8080", true),
        ("192.0.2.1:80", true),
        ("127.0.0.1:8080", false),
        ("127.8.8.8:8080", false),
        ("[::1]:8080", false),
        ("[::ffff:127.0.0.1]:8080", false),
        ("unix:/run/lmserver.sock", false),
    ] {
        for keys in ["", "[auth]\napi_keys = [\"env:TEST_API_KEY\"]\n"] {
            let done = check(&format!(
                "{keys}[provider.echo]\n[server]\nlisten = \"{listen}\"\n"
            ));
            assert_eq!(done.code, 0, "{}", done.stderr);
            let found = done.stderr.contains("without [auth] api_keys");
            assert_eq!(
                found,
                warned && keys.is_empty(),
                "{listen} {keys}: {}",
                done.stderr
            );
        }
    }
}

#[test]
fn the_server_api_without_a_key_is_open_only_where_nothing_says_that_access_matters() {
    let token = "[client.token]\nhmac_secret_key = \"env:TEST_API_KEY\"\n";
    let other = "[client.subscription_token]\nhmac_secret_key = \"env:TEST_API_KEY\"\n";
    let secret = "[auth]\ntoken_secret = \"env:TEST_API_KEY\"\n";
    let key = "[auth]\napi_keys = [\"env:TEST_API_KEY\"]\n";
    let insecure = |text: &str| format!("[client]\ninsecure = true\n{text}");
    for (text, is_open) in [
        (String::new(), Some(true)),
        ("[channels]\nopen = true\n".to_owned(), Some(true)),
        (token.to_owned(), Some(false)),
        (other.to_owned(), Some(false)),
        (secret.to_owned(), Some(false)),
        ("[namespace.news]\n".to_owned(), Some(false)),
        (
            "[namespace.chat]\npresence = true\n".to_owned(),
            Some(false),
        ),
        ("[without_namespace]\n".to_owned(), Some(false)),
        (insecure(token), Some(true)),
        (insecure(secret), Some(true)),
        (insecure("[namespace.news]\n"), Some(true)),
        (format!("{key}{token}"), None),
        (format!("{key}[namespace.news]\n"), None),
    ] {
        for listen in ["127.0.0.1:8080", "0.0.0.0:8080"] {
            let done = check(&format!(
                "{text}[provider.echo]\n[server]\nlisten = \"{listen}\"\n"
            ));
            assert_eq!(done.code, 0, "{}", done.stderr);
            let is_closed =
                done.stderr.contains("the server API, ") && done.stderr.contains("closed");
            assert_eq!(is_closed, is_open == Some(false), "{text}: {}", done.stderr);
            let is_exposed = done.stderr.contains("disconnect clients");
            let is_reachable = listen.starts_with("0.");
            assert_eq!(
                is_exposed,
                is_reachable && is_open == Some(true),
                "{text}: {}",
                done.stderr
            );
        }
    }
}

#[test]
fn a_literal_secret_works_and_is_warned_about() {
    let done = check("[provider.openai]\napi_key = \"sk-topsecret\"\n");
    assert_eq!(done.code, 0);
    assert_eq!(
        done.stderr,
        "lmserver.toml:2:11: warning: `api_key` holds the secret itself\n    \
         fix: write \"env:NAME\" or \"file:PATH\", so that the file can be shown to others\n"
    );
    assert!(!done.stdout.contains(SECRET), "{}", done.stdout);
}

#[test]
fn a_file_that_is_no_text_or_too_nested_is_refused() {
    let nested = format!("a = {}", "[".repeat(100_000));
    let dotted = format!("a{} = 1", ".b".repeat(100_000));
    let deep = "lmserver.toml:1:105: error: tables, lists or keys are nested more than 100 deep";
    for (text, want) in [(nested, deep), (dotted, "are nested more than 100 deep")] {
        let done = check(&text);
        assert_eq!(done.code, 2);
        assert!(done.stderr.contains(want), "{}", done.stderr);
    }
}

#[test]
fn a_certificate_that_is_none_or_has_another_key_is_reported() {
    let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (make(), make());
    let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    for (cert, key, want) in [
        (cert.as_str(), key.as_str(), None),
        (&cert, &other.signing_key.serialize_pem(), Some("`tls`: ")),
        (
            &cert,
            &cert,
            Some("`tls`: no private key in PEM form found"),
        ),
        (
            "hello",
            &key,
            Some("`tls`: no certificate in PEM form found"),
        ),
    ] {
        let text = "[provider.echo]\n[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n";
        let program = Program::new().file("cert.pem", cert).file("key.pem", key);
        let done = program.file("lmserver.toml", text).run(&["check"]);
        assert_eq!(
            done.code,
            if want.is_some() { 2 } else { 0 },
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains(want.unwrap_or("")), "{}", done.stderr);
        assert!(
            want.is_some() || done.stdout.contains("(TLS)"),
            "{}",
            done.stdout
        );
    }
}
