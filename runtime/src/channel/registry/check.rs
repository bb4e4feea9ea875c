//! For the checks of simulation and tests.

use super::Registry;
#[cfg(test)]
use crate::channel::Channel;
use crate::channel::{Life, Subscriber};
use crate::ids::ChannelId;

impl Registry {
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.channels.iter()
    }

    /// Every subscriber's place: channel, view, slot, connection.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = (ChannelId, u8, usize, Subscriber)> {
        self.channels.iter().flat_map(|(id, channel)| {
            channel.views().flat_map(move |(view, it)| {
                it.subscribers
                    .iter()
                    .enumerate()
                    .map(move |(slot, it)| (id, view, slot, *it))
            })
        })
    }

    /// Do the counts add up?
    pub(crate) fn check(&self) -> Result<(), String> {
        let counted: usize = self
            .channels
            .iter()
            .map(|(_, channel)| channel.counted)
            .sum();
        if counted != self.total {
            return Err(format!(
                "channels hold {counted} bytes, the total says {}",
                self.total
            ));
        }
        let all = self.channels.iter().map(|(_, it)| it.subscribers as usize);
        if all.sum::<usize>() != self.subscriptions {
            return Err(format!(
                "there are not {} subscriptions",
                self.subscriptions
            ));
        }
        let idle: usize = self.channels.iter().map(|(_, it)| it.idle_counted).sum();
        if idle != self.idle {
            return Err(format!(
                "idle channels hold {idle} bytes, not {}",
                self.idle
            ));
        }
        for (id, channel) in self.channels.iter() {
            let is_idle = channel.life == Life::Open && channel.subscribers == 0;
            if channel.idle_counted != if is_idle { channel.counted } else { 0 } {
                return Err(format!("{id:?}: its idle bytes are not counted"));
            }
            let subscribers: usize = channel
                .views()
                .map(|(_, view)| view.subscribers.len())
                .sum();
            if subscribers != channel.subscribers as usize {
                return Err(format!(
                    "{id:?}: {subscribers} subscribers, {} counted",
                    channel.subscribers
                ));
            }
            if self.names.get(&channel.name) != Some(&id) {
                return Err(format!("{id:?}: its name leads elsewhere"));
            }
            if channel
                .expires
                .is_some_and(|at| !self.unread.contains(&(at, id)))
            {
                return Err(format!("{id:?}: its expiry is not noted"));
            }
        }
        if self.due > self.earliest() {
            return Err("what is due is forgotten late".to_owned());
        }
        Ok(())
    }
}
