//! What others tell the session: the server API, another connection of the client, a channel.

use lmserver_proto::centrifuge::{
    Channel, Disconnect as Farewell, DisconnectCode, Protocol, Publication, PushEvent, Unsubscribe,
};
use lmserver_runtime::event::Details;
use lmserver_runtime::plugin::access::{Expiry, SubscribeGrant};
use lmserver_runtime::plugin::transport::{Disconnect, Notice, SessionCx, Signal};

use crate::encoding::{client_info, data as data_of};
use crate::session::Client;
use crate::subscribe::Wanted;
use crate::subscription::Purpose;

impl Client {
    /// Carries out a signal.
    pub(crate) fn heed(
        &mut self,
        signal: &Signal,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match signal {
            Signal::Subscribe {
                channel,
                grant,
                since,
            } => {
                self.subscribe_by_server(channel, grant, since.clone(), cx);
                Ok(())
            }
            Signal::Unsubscribe {
                channel,
                code,
                reason,
            } => {
                let why = Unsubscribe {
                    code: u32::from(*code),
                    reason: reason.to_string().into(),
                };
                self.unsubscribe_by_server(channel, why, cx);
                Ok(())
            }
            Signal::Disconnect { code, reason } => {
                let why = Farewell {
                    code: *code,
                    reason: reason.to_string().into(),
                };
                self.disconnect(why, cx)
            }
            Signal::Refresh {
                expired,
                expires_at,
                info,
            } => self.refresh_by_server(*expired, Expiry(*expires_at), info.as_deref(), cx),
            Signal::Message(data) => {
                self.push_about(Channel::None, PushEvent::Message { data }, cx);
                Ok(())
            }
            Signal::Commands { bytes, is_binary } => self.emulate(bytes, *is_binary, cx),
        }
    }

    fn subscribe_by_server(
        &mut self,
        channel: &str,
        grant: &SubscribeGrant,
        recover: Option<(u64, Box<str>)>,
        cx: &mut SessionCx<'_>,
    ) {
        if self.subscriptions.find(channel).is_none() {
            let wanted = Wanted {
                recover,
                ..Wanted::default()
            };
            self.place(channel, grant.clone(), wanted, Purpose::Push, cx);
        }
    }

    fn refresh_by_server(
        &mut self,
        expired: bool,
        expiry: Expiry,
        info: Option<&[u8]>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if expired {
            return self.disconnect(DisconnectCode::Expired, cx);
        }
        if let Some(info) = info {
            self.rare_mut().info = Some(info.into());
        }
        let ttl = self.take_expiry(expiry, cx);
        self.push_about(Channel::None, PushEvent::Refresh { ttl }, cx);
        Ok(())
    }

    /// Takes a message that came in a request beside the stream.
    fn emulate(
        &mut self,
        bytes: &[u8],
        is_binary: bool,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.carrier.is_unidirectional || self.stream.is_none() {
            return Ok(());
        }
        if is_binary != (self.carrier.protocol() == Protocol::Protobuf) {
            return self.bad_request(cx);
        }
        self.message(bytes, cx)
    }

    /// Tells the client what happened in a channel.
    pub(crate) fn tell(&mut self, channel: &str, notice: &Notice, cx: &mut SessionCx<'_>) {
        if self.subscriptions.find(channel).is_none() {
            return;
        }
        let name = Channel::Name(channel);
        match notice {
            Notice::Joined(info) => self.push_about(name, PushEvent::Join(client_info(info)), cx),
            Notice::Left(info) => self.push_about(name, PushEvent::Leave(client_info(info)), cx),
            Notice::Fleeting { data, details } => {
                self.publish_fleeting(channel, data, details.as_deref(), cx);
            }
        }
    }

    fn publish_fleeting(
        &mut self,
        channel: &str,
        data: &[u8],
        details: Option<&Details>,
        cx: &mut SessionCx<'_>,
    ) {
        let Some(subscription) = self.subscriptions.find_mut(channel) else {
            return;
        };
        let tags = details.map_or(&[][..], |details| &details.tags);
        let filter = subscription.filter();
        if filter.is_some_and(|filter| !filter.matches(tags)) {
            return;
        }
        let is_delta = subscription.flags.is_delta;
        if is_delta {
            // The client takes it for what the next difference is from, which the log does not: so
            // the next publication is told whole.
            subscription.flags.has_base = false;
            cx.gate(channel);
        }
        let payload = data_of(data, details, self.carrier.protocol());
        let publisher = details.and_then(|details| details.publisher.as_ref());
        let publication = Publication {
            data: payload,
            quoted: is_delta,
            info: publisher.map(client_info),
            tags,
            ..Publication::default()
        };
        let event = PushEvent::Publication(&publication);
        self.push_about(Channel::Name(channel), event, cx);
    }
}
