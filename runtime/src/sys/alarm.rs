//! An alarm that stays set from one wait to the next.
//!
//! A wait with a time limit has the kernel set a timer before it and take it back behind it, each
//! time. Between the tokens of an answer nothing is due for seconds: a timer of our own is set once
//! for the first moment, and the waits have no limit. A moment that is no longer wanted stays set;
//! the wake-up for it is one for nothing.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::{Registry, Token};
#[cfg(target_os = "linux")]
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::time::Moment;

/// A timer among the poll's sources. Where the system has none it is never set.
pub(super) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: OwnedFd,
    set_for: Option<Moment>,
}

impl Alarm {
    /// An alarm that is not set; it tells of itself by `token`.
    #[cfg(target_os = "linux")]
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let mut source = mio::unix::SourceFd(&timer.as_raw_fd());
        registry.register(&mut source, token, mio::Interest::READABLE)?;
        Ok(Self {
            timer,
            set_for: None,
        })
    }

    /// As above, of a system without such timers.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self { set_for: None })
    }

    /// Will it tell by this moment?
    pub(super) fn is_set_by(&self, until: Moment) -> bool {
        self.set_for.is_some_and(|at| at <= until)
    }

    /// Sets it for a moment that is so far away, not for one that is there: no time at all would take
    /// the alarm back. False: there is no alarm, wait with a limit.
    #[cfg(target_os = "linux")]
    pub(super) fn set(&mut self, until: Moment, wait: Duration) -> bool {
        let Ok(it_value) = Timespec::try_from(wait) else {
            return false;
        };
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value,
        };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
        self.set_for = set.is_ok().then_some(until);
        set.is_ok()
    }

    /// As above, of a system without such timers.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn set(&mut self, _: Moment, _: Duration) -> bool {
        false
    }

    /// It has told. Its count need not be read: it is watched for edges, and set anew it begins
    /// at zero.
    pub(super) fn has_rung(&mut self) {
        self.set_for = None;
    }
}
