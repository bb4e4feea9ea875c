//! How a connection ends, and how single subscriptions do.

use lmserver_proto::centrifuge::{
    Channel, Disconnect as Farewell, DisconnectCode, Push, PushEvent, Unsubscribe, UnsubscribeCode,
};
use lmserver_proto::http1::Response;
use lmserver_proto::ws::frame;
use lmserver_runtime::plugin::transport::{Disconnect, SessionCx};

use crate::session::{Client, Phase};
use crate::subscription::{Purpose, Subscription};
use crate::timers::CLOSE_TIMEOUT;

impl Client {
    /// Ends the connection, and says why.
    ///
    /// All is written then. A WebSocket goes on until the peer has closed it too; another response
    /// gives its connection back to HTTP, whose client may have sent the next request already.
    ///
    /// # Errors
    ///
    /// None: the result is that of the calls which end by this one.
    pub(crate) fn disconnect(
        &mut self,
        why: impl Into<Farewell>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.phase == Phase::Over {
            return Ok(());
        }
        let why = why.into();
        self.leave_all(cx);
        self.busy = None;
        self.phase = Phase::Over;
        self.heart.due = cx.now + CLOSE_TIMEOUT;
        if let Some(stream) = &mut self.stream
            && stream.refuses_by_status()
            && why.reconnects()
        {
            stream.refuse(Response::text(503, why.reason.into_owned()), cx);
            return Ok(());
        }
        // Nobody is told of the end of a connection that is closed already.
        let told = why.code != DisconnectCode::ConnectionClosed.number();
        if told && (!self.carrier.is_websocket() || self.carrier.is_unidirectional) {
            self.push_about(Channel::None, PushEvent::Disconnect(&why), cx);
        }
        match &mut self.stream {
            Some(stream) => {
                stream.end(cx);
                stream.hand_back(cx);
                Ok(())
            }
            None => {
                frame::write_close(cx.out(), Some(why.code), why.close_reason(), None);
                Ok(())
            }
        }
    }

    /// Writes a push.
    pub(crate) fn push_about(
        &mut self,
        channel: Channel<'_>,
        event: PushEvent<'_>,
        cx: &mut SessionCx<'_>,
    ) {
        let carrier = self.carrier;
        let push = Push { channel, event };
        self.say(cx, |_, out| carrier.write_push(&push, out));
    }

    /// Ends all subscriptions, and says nothing.
    pub(crate) fn leave_all(&mut self, cx: &mut SessionCx<'_>) {
        while let Some(subscription) = self.subscriptions.pop() {
            cx.unsubscribe(&subscription.channel);
            if subscription.flags.is_member {
                cx.leave(&subscription.channel);
            }
        }
    }

    /// Ends a subscription, and says nothing to the client.
    pub(crate) fn drop_subscription(
        &mut self,
        channel: &str,
        cx: &mut SessionCx<'_>,
    ) -> Option<Subscription> {
        let mut subscription = self.subscriptions.remove(channel)?;
        cx.unsubscribe(channel);
        if subscription.flags.is_member {
            cx.leave(channel);
        }
        self.reckon_expiry();
        if let Some(wish) = subscription.take_wish() {
            self.forget_wish(wish.purpose, cx);
        }
        Some(subscription)
    }

    /// A subscription has ended before it had its place.
    fn forget_wish(&mut self, purpose: Purpose, cx: &mut SessionCx<'_>) {
        if let Purpose::Command(id) = purpose {
            self.error(
                id,
                lmserver_proto::centrifuge::ErrorCode::PermissionDenied,
                cx,
            );
        }
        if purpose != Purpose::Push
            && let Some(busy) = &mut self.busy
        {
            busy.waiting = busy.waiting.saturating_sub(1);
        }
    }

    /// Ends a subscription and tells the client.
    pub(crate) fn unsubscribe_by_server(
        &mut self,
        channel: &str,
        why: impl Into<Unsubscribe>,
        cx: &mut SessionCx<'_>,
    ) {
        if self.drop_subscription(channel, cx).is_some() {
            let why = why.into();
            self.push_about(Channel::Name(channel), PushEvent::Unsubscribe(&why), cx);
        }
    }

    /// The channel no longer holds what comes next for this client.
    pub(crate) fn lose_position(
        &mut self,
        channel: &str,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let is_server_side = match self.subscriptions.find(channel) {
            None => return Ok(()),
            Some(subscription) => subscription.flags.is_server_side,
        };
        if is_server_side {
            return self.disconnect(DisconnectCode::InsufficientState, cx);
        }
        self.unsubscribe_by_server(channel, UnsubscribeCode::InsufficientState, cx);
        Ok(())
    }
}
