//! `lmserver serve`: what it says when it starts, reloads and stops, and what it never says.

use std::net::TcpListener;

use crate::program::{Program, Running};

fn started(program: Program, args: &[&str]) -> (Running, String) {
    let mut server = program.start(&[&["--listen", "127.0.0.1:0"], args].concat());
    let url = server.wait_for_url();
    (server, url)
}

fn ask(url: &str, args: &[&str]) -> crate::program::Done {
    Program::new().run(&[&["ask", "--server", url], args].concat())
}

#[test]
fn a_fresh_machine_shows_a_real_stream_with_the_first_command() {
    let (server, url) = started(Program::new(), &[]);
    let done = ask(&url, &["Grüße aus der", "Konsole 🙂"]);
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("Grüße aus der Konsole 🙂\n", "")
    );
    assert_eq!(done.code, 0);
    server.signal("TERM");
    let done = server.wait();
    assert_eq!(done.code, 0, "{}", done.stderr);
    for text in [
        "configuration: no file",
        "provider echo: kind echo, offline",
        "WARN",
        "the built-in offline provider `echo` answers",
        "stopped",
    ] {
        assert!(
            done.stderr.contains(text),
            "{text} is missing in:\n{}",
            done.stderr
        );
    }
    let warnings = done
        .stderr
        .lines()
        .filter(|line| line.contains("WARN"))
        .count();
    assert_eq!(warnings, 1, "{}", done.stderr);
}

#[test]
fn the_start_up_log_shows_the_port_of_centrifugo_and_nobodys_secret() {
    let file = "[auth]\napi_keys = [\"env:KEY\", \"topsecret-literal\"]\n\
                token_secret = \"env:KEY\"\n[provider.openai]\n\
                base_url = \"http://127.0.0.1:1/v1\"\nheaders = { X-Secret = \"topsecret\" }\n";
    let program = Program::new()
        .set("KEY", "topsecret-from-the-environment-and-long")
        .set("OPENAI_API_KEY", "topsecret-openai")
        .set("CENTRIFUGO_PORT", "8123")
        .file("lmserver.toml", file);
    let (mut server, url) = started(program, &["--log", "trace"]);
    let refused = ask(&url, &["hi"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("HTTP 401"), "{}", refused.stderr);
    let program = Program::new().set("LMSERVER_API_KEY", "topsecret-literal");
    let failed = program.run(&["ask", "--server", &url, "hi"]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains("provider_unreachable"),
        "{}",
        failed.stderr
    );
    server.signal("HUP");
    server.wait_for_log("configuration read again");
    server.signal("INT");
    let done = server.wait();
    assert_eq!(done.code, 0);
    assert!(
        done.stderr.contains("CENTRIFUGO_PORT 8123"),
        "{}",
        done.stderr
    );
    for said in [&done.stderr, &done.stdout, &refused.stderr, &failed.stderr] {
        assert!(!said.contains("topsecret"), "{said}");
    }
}

#[test]
fn a_reload_swaps_models_and_a_broken_file_changes_nothing() {
    let file = |name: &str| {
        format!("[provider.{name}]\nkind = \"echo\"\n[model.default]\ntargets = [\"{name}/x\"]\n")
    };
    let program = Program::new().file("lmserver.toml", &file("first"));
    let (mut server, url) = started(program, &[]);
    assert_eq!(ask(&url, &["--model", "first/x", "hi"]).stdout, "hi\n");
    server.write("lmserver.toml", &file("second"));
    server.signal("HUP");
    server.wait_for_log("configuration read again: providers second (echo); models default");
    assert_eq!(ask(&url, &["--model", "second/x", "hi"]).stdout, "hi\n");
    assert_eq!(ask(&url, &["--model", "first/x", "hi"]).code, 1);
    let fixed = file("second")
        + "[limits]\ndrain = \"1s\"\n[client]\nchannel_limit = 5\n[namespace.news]\n\
           [llm_api]\ncancel_when_abandoned = false\n";
    server.write("lmserver.toml", &fixed);
    server.signal("HUP");
    for section in ["limits", "llm_api", "client", "namespace.*"] {
        server.wait_for_log(&format!(
            "[{section}] has changed: that takes effect at the next start"
        ));
    }
    server.write(
        "lmserver.toml",
        "[provider.second]\nkind = \"echo\"\ndealy = 1\nlisten = 2\n",
    );
    server.signal("HUP");
    server
        .wait_for_log("lmserver.toml:3:1: unknown key `dealy` in [provider.second]; did you mean");
    server.wait_for_log("the configuration has 2 mistakes: the former one stays");
    assert_eq!(ask(&url, &["--model", "second/x", "hi"]).stdout, "hi\n");
    server.signal("TERM");
    assert_eq!(server.wait().code, 0);
}

#[test]
fn a_socket_of_the_file_system_serves_too() {
    let program = Program::new().file("lmserver.toml", "[provider.echo]\ndelay = \"1ms\"\n");
    let path = program.path("lm.sock");
    let address = format!("unix:{}", path.display());
    let mut server = program.start(&["--listen", &address]);
    assert_eq!(server.wait_for_url(), address);
    assert_eq!(ask(&address, &["hi"]).stdout, "hi\n");
    server.signal("TERM");
    assert_eq!(server.wait().code, 0);
}

#[test]
fn a_log_that_nobody_reads_any_more_does_not_end_the_server() {
    for format in ["text", "json"] {
        let file = format!("[provider.echo]\n[log]\nformat = \"{format}\"\n");
        let program = Program::new().file("lmserver.toml", &file);
        let (mut server, url) = started(program, &["--log", "trace"]);
        server.close_log();
        server.signal("HUP");
        assert_eq!(ask(&url, &["hi"]).stdout, "hi\n", "{format}");
        server.signal("TERM");
        assert_eq!(server.wait().code, 0, "{format}");
    }
}

#[test]
fn json_lines_are_json() {
    let program = Program::new().file(
        "lmserver.toml",
        "[provider.echo]\n[log]\nformat = \"json\"\n",
    );
    let (server, _) = started(program, &[]);
    server.signal("TERM");
    let done = server.wait();
    assert!(done.stderr.lines().count() >= 4, "{}", done.stderr);
    for line in done.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["time", "level", "target", "message"] {
            assert!(line[key].is_string(), "{line}");
        }
    }
}

#[test]
fn a_start_that_fails_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = Program::new().run(&["--listen", &address]);
    assert_eq!(done.code, 1);
    let want = format!("cannot listen on {address}: Address already in use");
    assert!(done.stderr.contains(&want), "{}", done.stderr);
    let done = Program::new()
        .file("lmserver.toml", "[provider.echo]\ndealy = 1\n")
        .run(&[]);
    assert_eq!(done.code, 2);
    assert_eq!(
        done.stderr,
        "lmserver.toml:2:1: error: unknown key `dealy` in [provider.echo]\n    \
         fix: did you mean `delay`?\n1 mistake in the configuration\n"
    );
}
