//! Name resolution off the reactor's thread.
//!
//! `getaddrinfo` blocks and cannot be cancelled, so one small thread calls it. The thread starts
//! with the first name. Answers are kept for a short while, since `getaddrinfo` tells no lifetime.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use mio::Waker;

use super::SysEvent;
use crate::time::Moment;

/// Different names that may wait for the thread; one more is refused at once. How many may wait
/// for one name is bounded by the number of answers that run.
const QUEUE: usize = 256;

/// Answers that are kept at most.
const CACHE: usize = 256;

/// How long an answer is kept.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// Enough for `getaddrinfo` with the usual name services.
const STACK: usize = 256 * 1024;

type Name = (Box<str>, u16);

struct Question {
    name: Name,
    asked: Moment,
}

struct Answer {
    question: Question,
    addrs: io::Result<Vec<SocketAddr>>,
}

/// The thread's other end.
pub(super) struct Resolver {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    cache: HashMap<Name, (Moment, Vec<SocketAddr>)>,
    /// Who waits for a name that is being looked up: each name is asked once.
    waiting: HashMap<Name, Vec<u64>>,
}

impl Resolver {
    /// Starts the thread. It ends when the resolver is dropped.
    pub(super) fn start(waker: Arc<Waker>) -> io::Result<Self> {
        let (questions, inbox) = crossbeam_channel::bounded(QUEUE);
        let (outbox, answers) = crossbeam_channel::unbounded();
        std::thread::Builder::new()
            .name("resolver".into())
            .stack_size(STACK)
            .spawn(move || serve(&inbox, &outbox, &waker))?;
        Ok(Self {
            questions,
            answers,
            cache: HashMap::new(),
            waiting: HashMap::new(),
        })
    }

    /// Asks, or answers at once.
    pub(super) fn ask(
        &mut self,
        host: &str,
        port: u16,
        ticket: u64,
        now: Moment,
    ) -> Option<io::Result<Vec<SocketAddr>>> {
        let name = (Box::from(host), port);
        if let Some((asked, addrs)) = self.cache.get(&name) {
            if now.since(*asked) < CACHE_TTL {
                return Some(Ok(addrs.clone()));
            }
            self.cache.remove(&name);
        }
        if let Some(tickets) = self.waiting.get_mut(&name) {
            tickets.push(ticket);
            return None;
        }
        let question = Question {
            name: name.clone(),
            asked: now,
        };
        match self.questions.try_send(question) {
            Ok(()) => {
                self.waiting.insert(name, vec![ticket]);
                None
            }
            Err(TrySendError::Full(_)) => Some(Err(io::Error::other(format!(
                "{QUEUE} names wait to be resolved already"
            )))),
            Err(TrySendError::Disconnected(_)) => {
                Some(Err(io::Error::other("the resolver's thread has ended")))
            }
        }
    }

    /// Takes the answers that have come.
    #[cold]
    pub(super) fn collect(&mut self, out: &mut Vec<SysEvent>) {
        for Answer { question, addrs } in self.answers.try_iter() {
            for ticket in self.waiting.remove(&question.name).unwrap_or_default() {
                let addrs = match &addrs {
                    Ok(addrs) => Ok(addrs.clone()),
                    // An io::Error cannot be cloned; what it says can.
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
                out.push(SysEvent::Resolved { ticket, addrs });
            }
            if let Ok(addrs) = addrs {
                if self.cache.len() >= CACHE {
                    self.cache.clear();
                }
                self.cache.insert(question.name, (question.asked, addrs));
            }
        }
    }
}

fn serve(inbox: &Receiver<Question>, outbox: &Sender<Answer>, waker: &Waker) {
    for question in inbox {
        let addrs = (&*question.name.0, question.name.1)
            .to_socket_addrs()
            .and_then(|found| {
                let found: Vec<SocketAddr> = found.collect();
                if found.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "the name has no address",
                    ));
                }
                Ok(found)
            });
        if outbox.send(Answer { question, addrs }).is_err() {
            return;
        }
        if let Err(error) = waker.wake() {
            log::error!("cannot wake the reactor for a resolved name: {error}");
        }
    }
}
