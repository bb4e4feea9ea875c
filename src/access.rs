//! Who may do what with which channel, decided from names, options and tokens alone.

pub mod namespace;

pub use namespace::{
    Access, ChannelOptions, DataFormat, History, Namespaces, RecoveryMode, Switch,
    UnknownNamespace, allowed_users,
};
