//! What `lmserver --help` prints.

/// The help text; at most 80 columns.
pub(super) const TEXT: &str = "\
lmserver turns an LLM's answer into a live, resumable channel

Usage: lmserver [serve] [FLAGS]     run the server
       lmserver check [FLAGS]       report every mistake in the configuration
       lmserver ask [FLAGS] \"TEXT\"  ask a running server, print the answer as it
                                    streams; Ctrl-C cancels, - reads a question
       lmserver fake [SETTINGS]     run a provider that misbehaves on purpose,
                                    for tests; see lmserver fake --help

Flags:
  --config FILE          configuration [default: lmserver.toml, if it exists]
  --listen ADDR          listen address: 127.0.0.1:8080 or unix:/run/lm.sock
  --allow-origin ORIGIN  allow pages of this origin, instead of the file's list;
                         repeatable; null for pages opened from file://
  --log LEVEL            off, error, warn, info, debug or trace [default: info]
  --server URL           (ask) the server [default: the configured address]
  --model NAME           (ask) a configured model, or provider/model
  -h, --help             print this text
  -V, --version          print the version

Environment:
  OPENAI_API_KEY         key of the provider `openai`
  OPENAI_BASE_URL        its base URL [default: https://api.openai.com/v1]
  OPENAI_MODEL           its default model [default: gpt-4o-mini]
  HOST, PORT             listen address and port [default: 127.0.0.1, 8080]
  LMSERVER_CONFIG        path of the configuration
  LMSERVER_API_KEY       (ask) the API key of the server
  SSL_CERT_FILE          (ask) certificates to trust beside the built-in ones
  HTTPS_PROXY, NO_PROXY  proxy to the providers, and hosts that do without
  CENTRIFUGO_PORT        accepted and shown in the log, not used

A flag wins over the environment, the environment over the file, the file over
the default. Exit codes: 0 clean, 1 failure while running, 2 mistake in usage or
configuration.
";
