//! Until when a connection and its subscriptions are good.

use std::time::Duration;

use lmserver_proto::centrifuge::{DisconnectCode, UnsubscribeCode};
use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_runtime::plugin::access::Expiry;
use lmserver_runtime::plugin::transport::{Disconnect, SessionCx};
use lmserver_runtime::time::Moment;

use crate::session::Client;

impl Client {
    /// Takes until when the connection is good; the seconds that the client is told.
    pub(crate) fn take_expiry(&mut self, expiry: Expiry, cx: &mut SessionCx<'_>) -> Option<u32> {
        let delay = cx.access().settings().expired_close_delay;
        let left = seconds_left(expiry, cx);
        let ends = left.map(|left| cx.now + left + delay);
        if ends.is_some() || self.rare.is_some() {
            self.rare_mut().ends = ends;
        }
        self.reckon_expiry();
        left.map(whole_seconds)
    }

    /// The same for a subscription, which is not taken yet: also when it ends.
    pub(crate) fn subscription_expiry(
        &self,
        expiry: Expiry,
        cx: &mut SessionCx<'_>,
    ) -> (Option<u32>, Option<Moment>) {
        let delay = cx.access().settings().expired_sub_close_delay;
        let left = seconds_left(expiry, cx);
        (
            left.map(whole_seconds),
            left.map(|left| cx.now + left + delay),
        )
    }

    /// Finds out what ends first.
    pub(crate) fn reckon_expiry(&mut self) {
        let own = self.rare.as_ref().and_then(|rare| rare.ends);
        self.expiry = own
            .unwrap_or(Moment::NEVER)
            .min(self.subscriptions.next_end());
    }

    /// Does what is due on a connected client.
    pub(crate) fn beat(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if self.heart.pong_due <= cx.now {
            return self.disconnect(DisconnectCode::NoPong, cx);
        }
        if self.expiry <= cx.now {
            self.end_expired(cx)?;
        }
        if self.heart.due <= cx.now {
            self.ping(cx);
        }
        Ok(())
    }

    fn end_expired(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let own = self.rare.as_ref().and_then(|rare| rare.ends);
        if own.is_some_and(|ends| ends <= cx.now) {
            return self.disconnect(DisconnectCode::Expired, cx);
        }
        let now = cx.now;
        let expired: Vec<(Box<str>, bool)> = self
            .subscriptions
            .iter()
            .filter(|it| it.ends().is_some_and(|ends| ends <= now))
            .map(|it| (it.channel.clone(), it.flags.is_server_side))
            .collect();
        if expired.iter().any(|(_, is_server_side)| *is_server_side) {
            return self.disconnect(DisconnectCode::SubscriptionExpired, cx);
        }
        for (channel, _) in expired {
            self.unsubscribe_by_server(&channel, UnsubscribeCode::Expired, cx);
        }
        self.reckon_expiry();
        Ok(())
    }

    fn ping(&mut self, cx: &mut SessionCx<'_>) {
        let settings = cx.access().settings();
        let (interval, timeout) = (settings.ping_interval, settings.pong_timeout);
        self.heart.due = cx.now + interval;
        // A peer that takes nothing cannot answer; that is the write timeout's business.
        if cx.unsent {
            return;
        }
        if self.pings_by_frames || (self.carrier.is_websocket() && self.carrier.is_unidirectional) {
            frame::write_frame(cx.out(), Opcode::Ping, true, b"", None);
        }
        if !self.pings_by_frames {
            self.say(cx, |protocol, out| protocol.ping(out));
        }
        let answers = !timeout.is_zero() && !self.carrier.is_unidirectional;
        if answers && self.heart.pong_due == Moment::NEVER {
            self.heart.pong_due = cx.now + timeout;
        }
    }
}

/// The time that is left, at least a second; none: for good.
fn seconds_left(expiry: Expiry, cx: &SessionCx<'_>) -> Option<Duration> {
    let at = expiry.0?;
    let left = at.saturating_sub(cx.unix_time.as_secs());
    Some(Duration::from_secs(left.max(1)))
}

fn whole_seconds(left: Duration) -> u32 {
    u32::try_from(left.as_secs()).unwrap_or(u32::MAX)
}
