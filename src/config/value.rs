//! Values that are written as text: durations, sizes, origins, levels.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lmserver_runtime::sys::ListenAddr;

/// What is wrong with a value and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) problem: Cow<'static, str>,
    pub(crate) fix: Cow<'static, str>,
}

impl Wrong {
    pub(crate) fn new(
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// Reads `"500ms"`, `"10s"`, `"10m"`, `"2h"` or `"1d"`; not zero and not over a year.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let (number, unit) = number_and_unit(text)
        .ok_or_else(|| Wrong::new(format!("{text:?} is not a duration"), DURATION_FORMS))?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => {
            return Err(Wrong::new(
                format!("{text:?} has no unit"),
                format!("write \"{number}s\""),
            ));
        }
        _ => {
            return Err(Wrong::new(
                format!("{text:?} has an unknown unit"),
                DURATION_FORMS,
            ));
        }
    };
    let total = number
        .checked_mul(milliseconds)
        .filter(|total| (1..=LONGEST).contains(total));
    total.map(Duration::from_millis).ok_or_else(|| {
        Wrong::new(
            format!("{text:?} is out of range"),
            "write a duration from \"1ms\" to \"365d\"",
        )
    })
}

/// Reads `"65536"`, `"64KiB"`, `"16MiB"`, `"1GiB"`, or with decimal units `"10MB"`.
pub(crate) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = |what| {
        Wrong::new(
            format!("{text:?} {what}"),
            "write the number of bytes, or \"64KiB\", \"16MiB\", \"1GiB\"",
        )
    };
    let (number, unit) = number_and_unit(text).ok_or_else(|| wrong("is not a size"))?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong("has an unknown unit")),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| wrong("is out of range"))
}

/// Checks an origin as browsers send it: `scheme://host[:port]`, `null`, or `*` for all.
pub(crate) fn origin(text: &str) -> Result<String, Wrong> {
    let origin = text.trim().to_ascii_lowercase();
    if origin == "*" || origin == "null" {
        return Ok(origin);
    }
    let wrong = |what: &str, fix: String| Wrong::new(format!("{text:?} {what}"), fix);
    let Some((scheme, rest)) = origin.split_once("://") else {
        let fix = "write scheme://host, like \"https://app.example\", or \"null\" for file://";
        return Err(wrong("is not an origin", fix.to_owned()));
    };
    if scheme == "file" {
        return Err(wrong(
            "is not an origin",
            "write \"null\": so browsers name file://".to_owned(),
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let visible = authority
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}*,@".contains(&b));
    if authority.is_empty() || !visible {
        let fix = "write scheme://host, like \"https://app.example\"; for all origins, \"*\" alone";
        return Err(wrong("does not name a host", fix.to_owned()));
    }
    if authority != rest {
        return Err(wrong(
            "has a path; an origin has none",
            format!("write \"{scheme}://{authority}\""),
        ));
    }
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = authority.strip_suffix(default_port).unwrap_or(authority);
    Ok(format!("{scheme}://{host}"))
}

/// Reads where to listen: `"127.0.0.1:8080"`, `"[::]:8080"` or `"unix:/run/lmserver.sock"`.
pub(crate) fn listen(text: &str) -> Result<ListenAddr, Wrong> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
            let fix = format!("write \"unix:/PATH\" with at most {LONGEST_SOCKET_PATH} bytes");
            return Err(Wrong::new(
                format!("{text:?} does not name a Unix socket"),
                fix,
            ));
        }
        return Ok(ListenAddr::Unix(path.into()));
    }
    if let Ok(address) = text.parse() {
        return Ok(ListenAddr::Tcp(address));
    }
    let wrong =
        |what: &str, fix: &str| Wrong::new(format!("{text:?} {what}"), format!("write \"{fix}\""));
    if let Ok(address) = host(text) {
        return Err(wrong(
            "has no port",
            &SocketAddr::new(address, DEFAULT_PORT).to_string(),
        ));
    }
    if text.parse::<u16>().is_ok() {
        return Err(wrong("has no address", &format!("127.0.0.1:{text}")));
    }
    let Some((name, digits)) = text.rsplit_once(':') else {
        return Err(wrong("is not an address to listen on", "127.0.0.1:8080"));
    };
    let Ok(port) = digits.parse() else {
        return Err(wrong(
            "does not end in a port from 0 to 65535",
            "127.0.0.1:8080",
        ));
    };
    if name.is_empty() || name == "*" {
        return Err(wrong(
            "has no address; for all of them",
            &format!("0.0.0.0:{port}"),
        ));
    }
    let address = host(name).map_err(|_| {
        wrong(
            "does not begin with an IP address of this machine",
            &format!("127.0.0.1:{port}"),
        )
    })?;
    Ok(ListenAddr::Tcp(SocketAddr::new(address, port)))
}

/// Reads an address without a port; `localhost` is 127.0.0.1.
pub(crate) fn host(text: &str) -> Result<IpAddr, Wrong> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().map_err(|_| {
        let fix = "write an IP address: 127.0.0.1 for this machine alone, 0.0.0.0 for all";
        Wrong::new(format!("{text:?} is not an IP address"), fix)
    })
}

/// Writes where to listen as the configuration would.
pub(crate) fn show_listen(at: &ListenAddr) -> String {
    match at {
        ListenAddr::Tcp(address) => address.to_string(),
        ListenAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Reads the level of the log.
pub(crate) fn level(text: &str) -> Result<log::LevelFilter, Wrong> {
    text.trim().parse().map_err(|_| {
        Wrong::new(
            format!("{text:?} is not a log level"),
            "write off, error, warn, info, debug or trace",
        )
    })
}

/// Reads a port that can be listened on; 0 lets the system choose.
pub(crate) fn port(text: &str) -> Result<u16, Wrong> {
    text.trim().parse().map_err(|_| {
        Wrong::new(
            format!("{text:?} is not a port"),
            "write a number from 0 to 65535",
        )
    })
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

const DURATION_FORMS: &str =
    "write a whole number with ms, s, m, h or d, like \"500ms\" or \"10s\"";

/// The port where nothing says another.
pub(crate) const DEFAULT_PORT: u16 = 8080;

/// Bytes of `sun_path` (108 on Linux, 104 on macOS and the BSDs) without the closing zero.
const LONGEST_SOCKET_PATH: usize = 103;

/// A year in milliseconds.
const LONGEST: u64 = 365 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        for (text, want) in [
            ("1ms", Some(1)),
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            (" 10 s ", Some(10_000)),
            ("10m", Some(600_000)),
            ("2h", Some(7_200_000)),
            ("365d", Some(31_536_000_000)),
            ("0s", None),
            ("366d", None),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("10 parsecs", None),
            ("99999999999999999999s", None),
            ("9999999999999999999d", None),
        ] {
            let read = duration(text)
                .ok()
                .map(|d| u64::try_from(d.as_millis()).unwrap());
            assert_eq!(read, want, "{text:?}");
        }
        assert_eq!(duration("10").unwrap_err().fix, "write \"10s\"");
    }

    #[test]
    fn sizes_are_bytes_or_carry_their_unit() {
        for (text, want) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("64 kib", Some(65_536)),
            ("16MiB", Some(16_777_216)),
            ("10MB", Some(10_000_000)),
            ("1GiB", Some(1 << 30)),
            ("MiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("1TiBB", None),
            ("99999999999999999GiB", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn listen_addresses_have_an_address_and_a_port() {
        for (text, want) in [
            ("127.0.0.1:8080", Ok("127.0.0.1:8080")),
            ("0.0.0.0:0", Ok("0.0.0.0:0")),
            ("[::]:8080", Ok("[::]:8080")),
            ("localhost:9000", Ok("127.0.0.1:9000")),
            ("unix:/run/lmserver.sock", Ok("unix:/run/lmserver.sock")),
            ("unix:///run/lmserver.sock", Ok("unix:/run/lmserver.sock")),
            ("unix:", Err("write \"unix:/PATH\" with at most 103 bytes")),
            (":8080", Err("write \"0.0.0.0:8080\"")),
            ("*:8080", Err("write \"0.0.0.0:8080\"")),
            ("8080", Err("write \"127.0.0.1:8080\"")),
            ("0.0.0.0", Err("write \"0.0.0.0:8080\"")),
            ("::1", Err("write \"[::1]:8080\"")),
            ("my.host:80", Err("write \"127.0.0.1:80\"")),
            ("127.0.0.1:http", Err("write \"127.0.0.1:8080\"")),
            ("127.0.0.1:99999", Err("write \"127.0.0.1:8080\"")),
            ("", Err("write \"127.0.0.1:8080\"")),
        ] {
            let read = listen(text)
                .map(|at| show_listen(&at))
                .map_err(|wrong| wrong.fix);
            assert_eq!(
                read,
                want.map(str::to_owned).map_err(Cow::Borrowed),
                "{text:?}"
            );
        }
    }

    #[test]
    fn origins_are_what_a_browser_sends() {
        for (text, want) in [
            ("https://app.example", Ok("https://app.example")),
            ("HTTPS://App.Example", Ok("https://app.example")),
            ("https://app.example:443", Ok("https://app.example")),
            ("http://localhost:5173", Ok("http://localhost:5173")),
            ("http://[::1]:80", Ok("http://[::1]")),
            ("chrome-extension://abcdef", Ok("chrome-extension://abcdef")),
            ("*", Ok("*")),
            ("null", Ok("null")),
            ("https://app.example/", Err("write \"https://app.example\"")),
            (
                "https://app.example/page?x",
                Err("write \"https://app.example\""),
            ),
            (
                "app.example",
                Err("write scheme://host, like \"https://app.example\", or \"null\" for file://"),
            ),
            (
                "https://",
                Err(
                    "write scheme://host, like \"https://app.example\"; for all origins, \"*\" alone",
                ),
            ),
            (
                "https://*.example",
                Err(
                    "write scheme://host, like \"https://app.example\"; for all origins, \"*\" alone",
                ),
            ),
            (
                "file:///home/me",
                Err("write \"null\": so browsers name file://"),
            ),
        ] {
            let read = origin(text).map_err(|wrong| wrong.fix);
            assert_eq!(
                read,
                want.map(str::to_owned).map_err(Cow::Borrowed),
                "{text:?}"
            );
        }
    }
}
