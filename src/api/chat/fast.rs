//! Plain questions, as most clients ask them: read in one go, or given up.
//!
//! What is read is what [`read_any`](super::question::read_any) reads; `tests` holds the two
//! against each other.

use lmserver_runtime::plugin::fast::{Question, once};
use lmserver_runtime::plugin::provider::{Content, Message};

/// Reads a body. `None`: it is another one, or none; the other reader sees to it.
pub(super) fn read(body: &[u8]) -> Option<Question> {
    Question::read(body, &mut |key, scanner, request| match key {
        b"message" if request.messages.is_empty() => {
            let text = scanner.string().filter(|text| !text.is_empty())?;
            let message = Message::new("user", Content::Text(text.into_owned()));
            request.messages.push(message);
            Some(())
        }
        b"system" => {
            let text = scanner.string()?.into_owned();
            once(&mut request.system, Some(text))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::chat::question::read_any;

    /// Reads a body plainly, if it can be, and checks that it is read so by the other reader.
    fn read_alike(body: &[u8]) -> bool {
        let Some(plain) = read(body) else {
            return false;
        };
        match read_any(body) {
            Ok(any) => assert_eq!(plain, any, "{}", body.escape_ascii()),
            Err(refusal) => panic!("{}: {refusal:?}", body.escape_ascii()),
        }
        true
    }

    /// Members that are plain: of each line one may stand in a body.
    const PLAIN: [&[&str]; 6] = [
        &[
            r#""message":"Hello""#,
            r#""message":"\"\n\u00e9\ud83d\ude00é""#,
            r#""messages":[{"role":"user","content":"a"}]"#,
            r#""messages" : [ {"content":"","role":"system"} , {"role":"assistant","content":"b"} ]"#,
        ],
        &["", r#""model":"m""#],
        &["", r#""system":"""#, r#""system":"s""#],
        &["", r#""max_tokens":7"#],
        &["", r#""temperature":0.70"#, r#""temperature":2"#],
        &["", r#""top_p":1"#],
    ];

    /// Members that are unknown, or of which the value is wrong or not plain.
    const ODD: [&str; 25] = [
        r#""message":"""#,
        r#""message":null"#,
        r#""message":7"#,
        r#""message":"\ud83d""#,
        r#""messages":[]"#,
        r#""messages":null"#,
        r#""messages":[{"role":"tool","content":"a","tool_call_id":"i"}]"#,
        r#""messages":[{"role":"tool","content":"a"}]"#,
        r#""messages":[{"role":"user","content":"a","name":"n"}]"#,
        r#""messages":[{"role":"user","content":null}]"#,
        r#""messages":[{"role":"user","content":"a","content":"a"}]"#,
        r#""messages":[{"role":"nobody","content":"a"}]"#,
        r#""model":null"#,
        r#""model":"""#,
        r#""system":null"#,
        r#""max_tokens":0"#,
        r#""max_tokens":1.0"#,
        r#""temperature":1e0"#,
        r#""temperature":-1"#,
        r#""top_p":1.5"#,
        r#""stop":"a""#,
        r#""user":"u""#,
        r#""stream":true"#,
        r#""extra":{}"#,
        "",
    ];

    /// Each body that has a member of each line of [`PLAIN`], in this order and in the other.
    fn plain_bodies() -> Vec<String> {
        let mut bodies = vec![Vec::new()];
        for line in PLAIN {
            let longer = |body: &Vec<&'static str>| {
                let body = body.clone();
                let with = line
                    .iter()
                    .map(move |member| [&body[..], &[*member]].concat());
                with.collect::<Vec<_>>()
            };
            bodies = bodies.iter().flat_map(longer).collect();
        }
        let written = |members: Vec<&str>| {
            let members = members.into_iter().filter(|member| !member.is_empty());
            let mut members: Vec<&str> = members.collect();
            let one = format!("{{{}}}", members.join(","));
            members.reverse();
            [one, format!(" {{ {} }}\n", members.join(" ,\t"))]
        };
        bodies.into_iter().flat_map(written).collect()
    }

    #[test]
    fn all_plain_questions_are_read_in_one_go() {
        for body in plain_bodies() {
            assert!(read_alike(body.as_bytes()), "{body}");
            for at in 0..body.trim_end().len() {
                assert!(!read_alike(&body.as_bytes()[..at]), "{body}, {at} bytes");
            }
        }
        let long = |length| format!(r#"{{"model":"{}","message":"a"}}"#, "m".repeat(length));
        assert!(read_alike(long(256).as_bytes()));
        assert!(!read_alike(long(257).as_bytes()));
    }

    #[test]
    fn all_others_are_left_to_the_other_reader() {
        let plain = r#""message":"Hello""#;
        for odd in ODD
            .iter()
            .chain(&[r#""message":"b""#, r#""messages":[{}]"#])
        {
            for body in [format!("{{{plain},{odd}}}"), format!("{{{odd},{plain}}}")] {
                assert!(!read_alike(body.as_bytes()), "{body}");
            }
        }
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"model":"m"}"#,
            "\u{feff}{\"message\":\"a\"}",
        ] {
            assert!(!read_alike(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn whatever_is_read_in_one_go_is_read_so_by_the_other_reader() {
        let members = PLAIN.concat().into_iter().chain(ODD);
        let members: Vec<&str> = members.collect();
        for one in &members {
            for other in &members {
                for third in &members {
                    read_alike(format!("{{{one},{other},{third}}}").as_bytes());
                }
                read_alike(format!("{{{one},{other}}}").as_bytes());
            }
            read_alike(format!("{{{one}}}").as_bytes());
        }
        let body =
            br#"{"messages":[{"role":"user","content":"a\n\u00e9"}],"model":"m","top_p":0.5}"#;
        for at in 0..body.len() {
            for byte in 0..=u8::MAX {
                let mut other = body.to_vec();
                other[at] = byte;
                read_alike(&other);
            }
        }
    }
}
