//! Flag over environment over file over default.

use crate::program::Program;

fn line<'a>(summary: &'a str, name: &str) -> &'a str {
    summary
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or("")
        .trim()
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = "[provider.echo]\n[server]\nlisten = \"127.0.0.3:3000\"\n";
    let unix = "[provider.echo]\n[server]\nlisten = \"unix:/run/x.sock\"\n";
    let echo = "[provider.echo]\n";
    for (text, variables, args, want) in [
        (echo, &[][..], &[][..], "127.0.0.1:8080"),
        (file, &[], &[], "127.0.0.3:3000"),
        (file, &[("PORT", "4000")], &[], "127.0.0.3:4000"),
        (file, &[("HOST", "127.0.0.4")], &[], "127.0.0.4:3000"),
        (
            file,
            &[("HOST", "localhost"), ("PORT", "4000")],
            &[],
            "127.0.0.1:4000",
        ),
        (
            file,
            &[("HOST", "::1"), ("PORT", "4000")],
            &[],
            "[::1]:4000",
        ),
        (file, &[("HOST", ""), ("PORT", "")], &[], "127.0.0.3:3000"),
        (unix, &[], &[], "unix:/run/x.sock"),
        (unix, &[("PORT", "4000")], &[], "127.0.0.1:4000"),
        (
            file,
            &[("PORT", "4000")],
            &["--listen", "127.0.0.5:5000"],
            "127.0.0.5:5000",
        ),
        (
            file,
            &[],
            &["--listen", "unix:/run/y.sock"],
            "unix:/run/y.sock",
        ),
    ] {
        let program = variables
            .iter()
            .fold(Program::new(), |p, (name, value)| p.set(name, value));
        let done = program
            .file("lmserver.toml", text)
            .run(&[&["check"], args].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(line(&done.stdout, "listen"), want, "{variables:?} {args:?}");
    }
}

#[test]
fn the_file_is_the_flags_or_the_environments_or_the_usual_one() {
    let text = |port| format!("[provider.echo]\n[server]\nlisten = \"127.0.0.1:{port}\"\n");
    for (variables, args, want) in [
        (&[][..], &[][..], "127.0.0.1:1001"),
        (&[("LMSERVER_CONFIG", "second.toml")], &[], "127.0.0.1:1002"),
        (
            &[("LMSERVER_CONFIG", "second.toml")],
            &["--config", "third.toml"],
            "127.0.0.1:1003",
        ),
    ] {
        let program = variables
            .iter()
            .fold(Program::new(), |p, (name, value)| p.set(name, value));
        let program = program
            .file("lmserver.toml", &text(1001))
            .file("second.toml", &text(1002))
            .file("third.toml", &text(1003));
        let done = program.run(&[&["check"], args].concat());
        assert_eq!(line(&done.stdout, "listen"), want, "{}", done.stderr);
    }
}

#[test]
fn the_flags_origins_replace_those_of_the_file() {
    let file = "[provider.echo]\n[server]\nallowed_origins = [\"https://a.example\"]\n";
    for (text, args, want) in [
        ("[provider.echo]\n", &[][..], "the page's own host"),
        (file, &[], "https://a.example"),
        (
            file,
            &["--allow-origin", "null", "--allow-origin", "http://b"],
            "null, http://b",
        ),
    ] {
        let done = Program::new()
            .file("lmserver.toml", text)
            .run(&[&["check"], args].concat());
        assert_eq!(line(&done.stdout, "origins"), want, "{}", done.stderr);
    }
}

#[test]
fn the_openai_variables_make_or_override_the_provider_of_that_name() {
    let claude = "[provider.local]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                  model = \"m\"\n";
    let own = "[provider.openai]\nbase_url = \"https://own.example/v1\"\napi_key = \"env:UNSET\"\n\
               model = \"own\"\n";
    let key = ("OPENAI_API_KEY", "sk-topsecret");
    let url = ("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1");
    let model = ("OPENAI_MODEL", "gpt-5");
    for (text, variables, provider, want) in [
        (
            None,
            &[key][..],
            "openai: kind openai, https://api.openai.com",
            "openai/gpt-4o-mini",
        ),
        (
            None,
            &[key, model],
            "openai: kind openai, https://api.openai.com",
            "openai/gpt-5",
        ),
        (
            None,
            &[url],
            "openai: kind openai, http://127.0.0.1:11434",
            "openai/gpt-4o-mini",
        ),
        (None, &[model], "echo: kind echo, offline", "echo/echo"),
        (
            Some(claude),
            &[],
            "local: kind openai, http://127.0.0.1:1",
            "local/m",
        ),
        (
            Some(own),
            &[key],
            "openai: kind openai, https://own.example",
            "openai/own",
        ),
        (
            Some(own),
            &[key, url, model],
            "openai: kind openai, http://127.0.0.1:11434",
            "openai/gpt-5",
        ),
    ] {
        let program = variables
            .iter()
            .fold(Program::new(), |p, (name, value)| p.set(name, value));
        let program = match text {
            Some(text) => program.file("lmserver.toml", text),
            None => program,
        };
        let done = program.run(&["check"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(line(&done.stdout, "provider"), provider, "{variables:?}");
        assert_eq!(
            line(&done.stdout, "model"),
            format!("default: {want}"),
            "{variables:?}"
        );
        assert!(!format!("{}{}", done.stdout, done.stderr).contains("topsecret"));
    }
}

#[test]
fn two_providers_want_a_default_model_even_if_one_comes_from_the_environment() {
    let text = "[provider.local]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    let program = Program::new().set("OPENAI_API_KEY", "sk-topsecret");
    let done = program.file("lmserver.toml", text).run(&["check"]);
    assert_eq!(done.code, 2);
    assert_eq!(
        done.stderr,
        "lmserver.toml:1:1: error: several providers (local, openai (from OPENAI_API_KEY)) and no \
         [model.default]\n    fix: add [model.default] with targets = [\"local/MODEL\"]\n\
         1 mistake in the configuration\n"
    );
}
