//! One connection as its end sees it, with a reader of HTTP that shares nothing with the program.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What must come has come by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What carries bytes both ways.
pub(crate) trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// One end of a connection.
pub(crate) struct Wire {
    stream: Box<dyn Duplex>,
    /// What was read and not yet taken.
    buf: Vec<u8>,
}

/// The first line and the fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    fields: Vec<(String, String)>,
}

impl Wire {
    /// Over TCP.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }

    /// Over anything; the reads must time out.
    pub(crate) fn over(stream: impl Duplex + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buf: Vec::new(),
        }
    }

    /// Sends bytes.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_say(bytes).expect("the peer takes what is said");
    }

    /// Sends bytes, if the peer still takes them.
    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Reads more. Zero: the peer has ended the connection.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut more = [0; 16 * 1024];
        let read = loop {
            match self.stream.read(&mut more) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buf.extend_from_slice(&more[..read]);
        Ok(read)
    }

    /// Takes the next `count` bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count {
            assert!(self.fill().unwrap() > 0, "ended before byte {count}");
        }
        self.buf.drain(..count).collect()
    }

    /// Takes all until the peer ends the connection, be it with a reset.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(1..) => {}
                Ok(0) => break,
                Err(error) => {
                    let timed_out = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                    assert!(!timed_out.contains(&error.kind()), "it does not end");
                    break;
                }
            }
        }
        std::mem::take(&mut self.buf)
    }

    /// Takes everything up to and with a mark. None: the connection ends before it.
    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            let rest = &self.buf[from..];
            if let Some(at) = memchr::memmem::find(rest, mark) {
                return Some(self.buf.drain(..from + at + mark.len()).collect());
            }
            from = self.buf.len().saturating_sub(mark.len());
            if self.fill().unwrap() == 0 {
                return None;
            }
        }
    }

    /// Takes a head. None: the peer has ended the connection instead.
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        let Some(head) = self.until(b"\r\n\r\n") else {
            assert!(self.buf.is_empty(), "cut in a head: {:?}", self.buf);
            return None;
        };
        let text = String::from_utf8(head).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let fields = lines.map(|line| line.split_once(':').expect("a field line"));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let fields = fields.collect();
        Some(Head { line, fields })
    }

    /// Takes a head.
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().expect("a head, not the end")
    }

    /// Takes one chunk of a chunked body, without its framing. None: it was the last.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let chunk = self.exactly(size);
        assert_eq!(self.exactly(2), b"\r\n");
        (size > 0).then_some(chunk)
    }

    /// Takes a chunked body as it stands, framing and all.
    pub(crate) fn body_in_chunks(&mut self) -> Vec<u8> {
        self.until(b"\r\n0\r\n\r\n").expect("the last chunk")
    }

    /// Takes the body that belongs to a head.
    pub(crate) fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.is_chunked() {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
            return body;
        }
        let length = head.field("content-length").unwrap_or("0");
        self.exactly(length.parse().unwrap())
    }
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter();
        let found = found.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.field("transfer-encoding") == Some("chunked")
    }

    /// The status, if this is the head of an answer.
    pub(crate) fn status(&self) -> u16 {
        let status = self.line.strip_prefix("HTTP/1.1 ").expect("a status line");
        status[..3].parse().unwrap()
    }
}
