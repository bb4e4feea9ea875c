//! Judges an HTTP/1.1 echo server by four corpora of raw requests.
//!
//! The corpora are data: bytes to send, and what must come back. How the bytes travel is the
//! caller's: a [`Link`] is a connection to a server that answers every method but `CONNECT` (501)
//! and every path with 200 and the request's content. So the same judge serves the protocol core
//! alone and a server behind a socket.
//!
//! The answers are read here with a reader of its own, so that a mistake of the code under test
//! cannot hide in both places.

#![expect(
    clippy::expect_used,
    reason = "a corpus of another shape is a fault of the test"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A connection to the server under test.
pub(crate) trait Link {
    /// Sends bytes. What the server does not want any more may be lost.
    fn send(&mut self, bytes: &[u8]);
    /// Waits until the server has nothing more to say, and tells all it said since the connection
    /// was opened.
    fn receive(&mut self) -> Received;
}

/// What the server said on a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// It ended the connection.
    pub(crate) closed: bool,
}

/// How the bytes of a request are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Whole,
    EveryByte,
}

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Warn,
    Fail(String),
}

/// All that did not pass, corpus by corpus.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) cases: usize,
    pub(crate) warnings: Vec<String>,
    /// Id and reason.
    pub(crate) failures: Vec<(String, String)>,
}

impl Report {
    /// Compares the failures with the verdicts that are declined, each with the section that
    /// backs it. Says what is unexplained, and what is declined and passes.
    pub(crate) fn compare(&self, declined: &[(&str, &str)]) -> Result<(), String> {
        let mut complaint = String::new();
        for (id, reason) in &self.failures {
            if !declined.iter().any(|(other, _)| other == id) {
                let _ = writeln!(complaint, "{id}: {reason}");
            }
        }
        for (id, _) in declined {
            if !self.failures.iter().any(|(other, _)| other == id) {
                let _ = writeln!(complaint, "{id}: declined, but it passes");
            }
        }
        if complaint.is_empty() {
            Ok(())
        } else {
            Err(complaint)
        }
    }
}

/// The verdicts that the server declines, and what of the RFCs backs it.
pub(crate) const DECLINED: &[(&str, &str)] = &[
    (
        "MAL-POST-CL-HUGE-NO-BODY",
        "RFC 9110 §15.5.14: content larger than the server processes is 413, and the announced \
         length says so before a byte of it is sent",
    ),
    (
        "LLHTTP-method-137",
        "RFC 9112 §3.2.4: the asterisk form is for a server-wide OPTIONS alone; M-SEARCH is a \
         method of HTTP over UDP",
    ),
    (
        "LLHTTP-method-374",
        "RFC 9112 §2.3: HTTP-name is HTTP; ICE is another protocol",
    ),
    (
        "LLHTTP-method-404",
        "RFC 9112 §2.3: HTTP-name is HTTP; RTSP is another protocol",
    ),
    (
        "LLHTTP-method-432",
        "RFC 9112 §2.3: HTTP-name is HTTP; RTSP is another protocol",
    ),
    (
        "LLHTTP-transfer-encoding-753",
        "RFC 9112 §3.2: no form of the target has a fragment; §6.1: a transfer coding that the \
         server does not understand (deflate) is 501",
    ),
    (
        "LLHTTP-transfer-encoding-795",
        "RFC 9112 §3.2: no form of the target has a fragment; §6.1: a transfer coding that the \
         server does not understand (deflate) is 501",
    ),
    (
        "LLHTTP-uri-167",
        "RFC 9112 §3.2: no form of the target has a fragment",
    ),
    (
        "LLHTTP-uri-224",
        "RFC 9110 §4.2.4: user information in an http URI is to be treated as an error",
    ),
];

/// The number of cases of the four corpora, so that a lost file is noticed.
pub(crate) const CASES: usize = 189 + 33 + 119 + 73;

/// The folder of the corpora, if it is there.
pub(crate) fn corpora(manifest_dir: &str) -> Option<PathBuf> {
    Path::new(manifest_dir)
        .ancestors()
        .map(|folder| folder.join("../shared/fixtures/http1"))
        .find(|folder| folder.join("http11probe.json").is_file())
}

/// Runs all corpora. `host` stands for the server's own name in the payloads; some lengths in
/// them count on its 15 characters.
pub(crate) fn run(
    folder: &Path,
    host: &str,
    cut: Cut,
    connect: &mut dyn FnMut() -> Box<dyn Link>,
) -> Report {
    type Judge = fn(&Value, &mut Talk<'_>) -> Verdict;
    let corpora: [(&str, Judge); 4] = [
        ("http11probe.json", judge_probe),
        ("h1spec.json", judge_h1spec),
        ("llhttp.json", judge_llhttp),
        ("garden.json", judge_garden),
    ];
    let mut report = Report::default();
    for (file, judge) in corpora {
        let text = std::fs::read_to_string(folder.join(file)).expect("corpus is readable");
        let cases: Vec<Value> = serde_json::from_str(&text).expect("corpus is JSON");
        for case in &cases {
            let id = case["id"].as_str().expect("id").to_owned();
            let mut talk = Talk {
                link: connect(),
                host,
                cut,
            };
            report.cases += 1;
            let verdict = judge(case, &mut talk);
            match verdict {
                Verdict::Pass => {}
                Verdict::Warn => report.warnings.push(id),
                Verdict::Fail(_) if case["scored"] == Value::Bool(false) => {
                    report.warnings.push(id);
                }
                Verdict::Fail(reason) => report.failures.push((id, reason)),
            }
        }
    }
    report
}

/// A connection and how to use it.
struct Talk<'a> {
    link: Box<dyn Link>,
    host: &'a str,
    cut: Cut,
}

impl Talk<'_> {
    fn send(&mut self, payload: &Value) {
        let bytes = expand(payload, self.host);
        match self.cut {
            Cut::Whole => self.link.send(&bytes),
            Cut::EveryByte => bytes.chunks(1).for_each(|byte| self.link.send(byte)),
        }
    }

    /// Sends a payload and reads what came back; the method of its first request tells whether
    /// the first answer has a body.
    fn ask(&mut self, payload: &Value) -> Result<Answers, String> {
        self.send(payload);
        let is_head = expand(payload, self.host).starts_with(b"HEAD ");
        Answers::read(&self.link.receive(), is_head)
    }
}

/// The final answers of a connection.
#[derive(Debug)]
struct Answers {
    all: Vec<Answer>,
    closed: bool,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Answers {
    /// Reads the answers and insists that they are well-formed and whole.
    fn read(received: &Received, first_is_to_head: bool) -> Result<Self, String> {
        let mut all = Vec::new();
        let mut rest = received.bytes.as_slice();
        while !rest.is_empty() {
            let end = rest
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .ok_or("head is cut")?;
            let head = std::str::from_utf8(&rest[..end]).map_err(|_| "head is no text")?;
            rest = &rest[end + 4..];
            let (line, lines) = head.split_once("\r\n").unwrap_or((head, ""));
            let status = line
                .strip_prefix("HTTP/1.1 ")
                .and_then(|rest| rest.split(' ').next())
                .and_then(|code| code.parse().ok())
                .ok_or_else(|| format!("status line {line:?}"))?;
            let fields = lines
                .split("\r\n")
                .filter(|line| !line.is_empty())
                .map(|line| {
                    let (name, value) = line.split_once(':').ok_or("field line")?;
                    Ok((name.to_owned(), value.trim().to_owned()))
                })
                .collect::<Result<Vec<_>, &str>>()?;
            let mut answer = Answer {
                status,
                fields,
                body: Vec::new(),
            };
            if status < 200 {
                continue;
            }
            let length = match answer.field("content-length") {
                Some(length) => length.parse::<usize>().map_err(|error| error.to_string())?,
                None if status == 204 || status == 304 => 0,
                None => return Err("answer without a length".into()),
            };
            if !(first_is_to_head && all.is_empty()) {
                if rest.len() < length {
                    return Err(format!("{} of {length} bytes of the body", rest.len()));
                }
                answer.body = rest[..length].to_vec();
                rest = &rest[length..];
            }
            all.push(answer);
        }
        Ok(Self {
            all,
            closed: received.closed,
        })
    }

    /// The status of the first answer; 0 where there is none.
    fn first(&self) -> u16 {
        self.all.first().map_or(0, |answer| answer.status)
    }

    fn successes(&self) -> usize {
        self.all.iter().filter(|answer| answer.is_success()).count()
    }

    /// Refused: no success, and the connection is over.
    fn refused(&self) -> bool {
        self.successes() == 0 && self.closed
    }

    fn summary(&self) -> String {
        let statuses: Vec<_> = self.all.iter().map(|answer| answer.status).collect();
        format!(
            "{statuses:?}, {}",
            if self.closed { "closed" } else { "open" }
        )
    }
}

/// The bytes of a payload: text, or a list of texts, repeated texts and numbered lines.
fn expand(payload: &Value, host: &str) -> Vec<u8> {
    let count = |value: &Value| usize::try_from(value.as_u64().expect("count")).expect("count");
    match payload {
        Value::String(text) => encode(&text.replace("{HOST}", host)),
        Value::Array(parts) if parts.len() == 2 && parts[1].is_u64() => {
            expand(&parts[0], host).repeat(count(&parts[1]))
        }
        Value::Array(parts) => parts.iter().flat_map(|part| expand(part, host)).collect(),
        Value::Object(lines) => {
            let format = lines["lines"].as_str().expect("lines");
            let line = |number: usize| encode(&format.replace("%d", &number.to_string()));
            (0..count(&lines["n"])).flat_map(line).collect()
        }
        _ => Vec::new(),
    }
}

/// Characters stand for bytes, except where one is too large to.
fn encode(text: &str) -> Vec<u8> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    bytes.unwrap_or_else(|_| text.as_bytes().to_vec())
}

fn fail(answers: &Answers) -> Verdict {
    Verdict::Fail(answers.summary())
}

fn pass_if(passes: bool, answers: &Answers) -> Verdict {
    if passes { Verdict::Pass } else { fail(answers) }
}

/// `verdict`: state of the connection -> Pass or Warn -> statuses.
fn judge_probe(case: &Value, talk: &mut Talk<'_>) -> Verdict {
    if let Some(rule) = case["seq"].as_str() {
        return judge_sequence(rule, case, talk);
    }
    let answers = match talk.ask(&case["payload"]) {
        Ok(answers) => answers,
        Err(reason) => return Verdict::Fail(reason),
    };
    let state = match (answers.closed, answers.all.is_empty()) {
        (true, _) => "C",
        (false, false) => "O",
        (false, true) => "T",
    };
    if let Some(check) = case["check"].as_str()
        && let Some(verdict) = judge_check(check, &answers)
    {
        return verdict;
    }
    let lists = |grade: &str| {
        let statuses = case["verdict"][state][grade].as_array();
        statuses.is_some_and(|list| list.iter().any(|status| *status == answers.first()))
    };
    match (lists("Pass"), lists("Warn")) {
        (true, _) => Verdict::Pass,
        (_, true) => Verdict::Warn,
        _ => fail(&answers),
    }
}

/// What a table of statuses cannot say. None: the table decides.
fn judge_check(check: &str, answers: &Answers) -> Option<Verdict> {
    let answer = answers
        .all
        .first()
        .filter(|answer| answer.is_success() || answer.status == 405)?;
    let date = answer.field("date").unwrap_or_default();
    let passes = match check {
        "no-body" => answer.body.is_empty(),
        "405-allow" => answer.status != 405 || answer.field("allow").is_some(),
        "date" => !date.is_empty(),
        "date-format" => {
            // Sun, 06 Nov 1994 08:49:37 GMT
            date.len() == 29 && date.ends_with(" GMT") && date.as_bytes()[3] == b','
        }
        "no-cl-204" => answer.status != 204 || answer.field("content-length").is_none(),
        "allow-warn" if answer.field("allow").is_none() => return Some(Verdict::Warn),
        "ctype-warn" if answer.field("content-type").is_none() => return Some(Verdict::Warn),
        "trace-secret" => !answer.body.windows(12).any(|part| part == b"secret-token"),
        _ => match check.strip_prefix("echo:") {
            Some(text) => answer.body == text.as_bytes(),
            None => true,
        },
    };
    (!passes).then(|| Verdict::Fail(format!("{check}: {answer:?}")))
}

/// Cases of several steps, by the name of their rule.
fn judge_sequence(rule: &str, case: &Value, talk: &mut Talk<'_>) -> Verdict {
    let steps = case["steps"].as_array().expect("steps");
    let first = match talk.ask(&steps[0]) {
        Ok(answers) => answers,
        Err(reason) => return Verdict::Fail(reason),
    };
    match rule {
        // The framing was faulty: whatever is answered, the connection is over.
        "mustclose" | "extra" => {
            return match (first.closed && first.all.len() <= 1, first.first()) {
                (false, _) => fail(&first),
                (true, 200..300) => Verdict::Warn,
                (true, _) => Verdict::Pass,
            };
        }
        _ if first.closed => return pass_if(first.all.len() == 1, &first),
        _ => {}
    }
    let both = match talk.ask(&steps[1]) {
        Ok(answers) => answers,
        Err(reason) => return Verdict::Fail(reason),
    };
    match rule {
        // The content of the first request is not taken for a request.
        "prefix" | "unread" | "pipeline" => {
            pass_if(both.all.len() == 2 && both.successes() == 2, &both)
        }
        // A byte too many spoils the next method, which an echo server may still answer.
        "poison" => match both.all.as_slice() {
            [_, second] if !second.is_success() => Verdict::Pass,
            [_, _] => Verdict::Warn,
            _ => fail(&both),
        },
        other => Verdict::Fail(format!("unknown rule {other}")),
    }
}

/// `status`: ranges, -1 for no answer; `body`: of a success.
fn judge_h1spec(case: &Value, talk: &mut Talk<'_>) -> Verdict {
    let answers = match talk.ask(&case["payload"]) {
        Ok(answers) => answers,
        Err(reason) => return Verdict::Fail(reason),
    };
    let status = answers
        .all
        .first()
        .map_or(-1, |answer| i64::from(answer.status));
    let accepted = case["status"]
        .as_array()
        .expect("status")
        .iter()
        .any(|range| {
            let bound = |at: usize| range[at].as_i64().expect("bound");
            (bound(0)..=bound(1)).contains(&status)
        });
    let body_is_right = match (case["body"].as_str(), answers.all.first()) {
        (Some(body), Some(answer)) if answer.is_success() => answer.body == body.as_bytes(),
        _ => true,
    };
    pass_if(
        accepted && body_is_right && answers.all.len() <= 1,
        &answers,
    )
}

/// `expect`, with so many whole `messages` and their lengths in `bodies`.
fn judge_llhttp(case: &Value, talk: &mut Talk<'_>) -> Verdict {
    let answers = match talk.ask(&case["payload"]) {
        Ok(answers) => answers,
        Err(reason) => return Verdict::Fail(reason),
    };
    let messages = usize::try_from(case["messages"].as_u64().expect("messages")).expect("messages");
    let lengths = case["bodies"]
        .as_array()
        .expect("bodies")
        .iter()
        .map(|len| len.as_u64());
    let echoed = answers
        .all
        .iter()
        .map(|answer| Some(answer.body.len() as u64));
    let accepted = answers.successes() == messages
        && answers.all.len() == messages
        && echoed.eq(lengths.take(messages));
    let passes = match case["expect"].as_str().expect("expect") {
        "accept" => accepted,
        "accept-then-ignore" => accepted && answers.closed,
        "incomplete" => accepted && !answers.closed,
        "reject" => answers.refused(),
        "either" => true,
        other => return Verdict::Fail(format!("unknown expectation {other}")),
    };
    pass_if(passes, &answers)
}

fn judge_garden(case: &Value, talk: &mut Talk<'_>) -> Verdict {
    let answers = match talk.ask(&case["payload"]) {
        Ok(answers) => answers,
        Err(reason) => return Verdict::Fail(reason),
    };
    let successes = answers.successes();
    let passes = match case["expect"].as_str().expect("expect") {
        "reject" => answers.refused(),
        "no-accept" => successes == 0,
        "atmost1" => successes <= 1,
        "exact1" => successes == 1 && answers.all.len() == 1,
        "exact2" => successes == 2 && answers.all.len() == 2,
        "first-ok" => (200..300).contains(&answers.first()),
        other => return Verdict::Fail(format!("unknown expectation {other}")),
    };
    pass_if(passes, &answers)
}
