//! Names for things that the reactor owns. An id to something gone finds nothing.

/// A connection. It carries a generation, so an id outlives its connection without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// One run: the answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A connection to a provider that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl DialId {
    /// The id as one number, for the lookup of a name.
    pub(crate) fn ticket(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id that a ticket is of.
    pub(crate) fn from_ticket(ticket: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = ticket.to_be_bytes();
        Self {
            index: u32::from_be_bytes([e, f, g, h]),
            generation: u32::from_be_bytes([a, b, c, d]),
        }
    }
}

/// A channel in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// An id that an arena can make and read.
pub(crate) trait Id: Copy {
    fn new(index: u32, generation: u32) -> Self;
    fn index(self) -> u32;
    fn generation(self) -> u32;
}

macro_rules! id {
    ($name:ty) => {
        impl Id for $name {
            fn new(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }
            fn index(self) -> u32 {
                self.index
            }
            fn generation(self) -> u32 {
                self.generation
            }
        }
    };
}

id!(ConnId);
id!(DialId);
id!(RunId);
id!(ChannelId);
