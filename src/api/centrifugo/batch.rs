//! `batch`: commands in one request, carried out one after the other.
//!
//! `parallel` is taken and changes nothing: the order is kept in any case.

use lmserver_proto::json::{Entries, entries};

use super::mistake::Mistake;
use super::task::{Said, Series, Task};
use super::{Desk, MANY, Method, parse, separate};

/// `batch`.
pub(super) fn batch(body: &[u8], desk: &mut Desk<'_>) -> Result<Task, Mistake> {
    let request = parse(body, &["commands"])?;
    let commands: Vec<_> = request
        .items("commands", MANY)?
        .into_iter()
        .map(|command| entries(command, MANY))
        .collect::<Result<_, _>>()?;
    let commands: Vec<_> = commands
        .iter()
        .map(|command| understand(command, desk))
        .collect();
    Ok(Task::series(Batch {
        commands: commands.into_iter(),
        current: "",
        said: b"[".to_vec(),
    }))
}

/// Of several methods the first of the list counts.
fn understand(command: &Entries<'_>, desk: &mut Desk<'_>) -> (&'static str, Task) {
    let methods = command.iter();
    let known = methods.filter_map(|(name, parameters)| Some((Method::find(name)?, parameters)));
    match known.min_by_key(|(method, _)| *method) {
        None | Some((Method::Batch, _)) => {
            let mistake =
                Mistake::bad("a command of a batch is an object with a method as its key");
            ("", Err(mistake).into())
        }
        Some((method, parameters)) => {
            let task = method.understand(parameters, desk);
            (method.name(), task)
        }
    }
}

struct Batch {
    commands: std::vec::IntoIter<(&'static str, Task)>,
    /// The method of the command that has begun.
    current: &'static str,
    /// The beginning of the replies.
    said: Vec<u8>,
}

impl Series for Batch {
    fn next(&mut self) -> Option<Task> {
        let (method, task) = self.commands.next()?;
        self.current = method;
        Some(task)
    }

    fn take(&mut self, said: Said) {
        separate(&mut self.said);
        let (key, value) = match said {
            Ok(result) => (self.current, result),
            Err(mistake) => ("error", mistake.json()),
        };
        self.said.extend_from_slice(br#"{""#);
        self.said.extend_from_slice(key.as_bytes());
        self.said.extend_from_slice(br#"":"#);
        self.said.extend_from_slice(&value);
        self.said.push(b'}');
    }

    /// The replies alone; what stands around them is not that of other methods.
    fn finish(self: Box<Self>) -> Said {
        let mut said = self.said;
        said.push(b']');
        Ok(said)
    }
}
