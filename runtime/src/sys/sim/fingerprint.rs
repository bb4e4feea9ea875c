//! A hash of everything that the reactor asked and was told.

use crate::sys::{Signal, SysEvent};

/// FNV-1a over 64 bits.
#[derive(Debug)]
pub(super) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    pub(super) fn value(&self) -> u64 {
        self.0
    }

    pub(super) fn numbers(&mut self, what: &str, one: u64, two: u64) {
        self.bytes(what, one, &two.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, what: &str, number: u64, bytes: &[u8]) {
        self.mix(what.as_bytes());
        self.mix(&number.to_le_bytes());
        self.mix(&(bytes.len() as u64).to_le_bytes());
        self.mix(bytes);
    }

    pub(super) fn event(&mut self, event: &SysEvent) {
        match event {
            SysEvent::Ready {
                sock,
                readable,
                writable,
                closed,
            } => {
                let flags =
                    u64::from(*readable) + 2 * u64::from(*writable) + 4 * u64::from(*closed);
                self.numbers("ready", u64::from(sock.0), flags);
            }
            SysEvent::Resolved { ticket, addrs } => {
                self.numbers(
                    "resolved",
                    *ticket,
                    addrs.as_ref().map_or(0, |addrs| addrs.len() as u64),
                );
            }
            SysEvent::Signal(signal) => {
                self.numbers("signal", u64::from(*signal == Signal::Stop), 0)
            }
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
