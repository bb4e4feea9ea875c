//! Events to text: what a person at a terminal wants to see of them.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::report;

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is whole.
    Complete,
    /// Somebody cancelled it.
    Cancelled,
    /// It failed; the text says why.
    Failed(String),
}

/// Prints events in their order.
#[derive(Debug, Default)]
pub(super) struct Printer {
    /// Whether the last line that was printed is open.
    is_open: bool,
}

impl Printer {
    /// Prints one event's document; a terminal one gives the ending.
    pub(super) fn print(
        &mut self,
        data: &[u8],
        out: &mut impl Write,
    ) -> io::Result<Option<Ending>> {
        let event: Value = serde_json::from_slice(data).unwrap_or_default();
        let text = |key| event.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "chunk" | "refusal" => self.write(text("message"), out)?,
            "reset" => {
                self.close(out)?;
                report("lmserver: the answer starts again\n");
            }
            "end" => {
                self.close(out)?;
                return Ok(Some(match text("finish_reason") {
                    "cancelled" => Ending::Cancelled,
                    "length" => complete("the answer was cut at the model's limit"),
                    "content_filter" => complete("the provider's content filter ended the answer"),
                    "tool_calls" => complete("the model wants tools, which `ask` has not"),
                    _ => Ending::Complete,
                }));
            }
            "error" => {
                self.close(out)?;
                let (message, code) = (text("message"), text("code"));
                return Ok(Some(Ending::Failed(format!("{message} ({code})"))));
            }
            _ => {}
        }
        Ok(None)
    }

    fn write(&mut self, text: &str, out: &mut impl Write) -> io::Result<()> {
        if !text.is_empty() {
            self.is_open = !text.ends_with('\n');
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn close(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::take(&mut self.is_open) {
            self.write("\n", out)
        } else {
            Ok(())
        }
    }
}

fn complete(note: &str) -> Ending {
    report(&format!("lmserver: {note}\n"));
    Ending::Complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_printed_as_it_is_and_the_last_line_is_closed() {
        for (events, want, ending) in [
            (
                &[
                    r#"{"type":"start","message":"","model":"default"}"#,
                    r#"{"type":"chunk","message":"Hel"}"#,
                    r#"{"type":"reasoning","message":"hm"}"#,
                    r#"{"type":"chunk","message":"lo"}"#,
                    r#"{"type":"end","message":"","finish_reason":"stop"}"#,
                ][..],
                "Hello\n",
                Some(Ending::Complete),
            ),
            (
                &[
                    r#"{"type":"refusal","message":"No.\n"}"#,
                    r#"{"type":"end","message":"","finish_reason":"length"}"#,
                ],
                "No.\n",
                Some(Ending::Complete),
            ),
            (
                &[
                    r#"{"type":"chunk","message":"x"}"#,
                    r#"{"type":"error","message":"it broke","code":"provider_error"}"#,
                ],
                "x\n",
                Some(Ending::Failed("it broke (provider_error)".to_owned())),
            ),
            (
                &[
                    r#"{"type":"chunk","message":"a"}"#,
                    r#"{"type":"reset","message":"","reason":"other epoch"}"#,
                    r#"{"type":"chunk","message":"a"}"#,
                    r#"{"type":"end","message":"","finish_reason":"cancelled"}"#,
                ],
                "a\na\n",
                Some(Ending::Cancelled),
            ),
            (&["not json", r#"{"type":"news"}"#], "", None),
        ] {
            let (mut printer, mut out, mut last) = (Printer::default(), Vec::new(), None);
            for event in events {
                last = printer.print(event.as_bytes(), &mut out).unwrap();
            }
            assert_eq!(
                (String::from_utf8(out).unwrap().as_str(), last),
                (want, ending)
            );
        }
    }
}
