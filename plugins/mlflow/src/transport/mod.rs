//! How bytes get to the server and back.

#[cfg(not(target_family = "wasm"))]
mod absent;
#[cfg(target_family = "wasm")]
mod sockets;

use std::time::Duration;

#[cfg(not(target_family = "wasm"))]
pub(crate) use absent::Absent as System;
#[cfg(target_family = "wasm")]
pub(crate) use sockets::Sockets as System;

use crate::server::Server;

/// Makes connections, and knows the time.
pub(crate) trait Transport {
    type Connection: Connection;

    /// Begins a connection that sends these bytes.
    ///
    /// # Errors
    /// It cannot even begin, in words.
    fn connect(&mut self, server: &Server, request: Vec<u8>) -> Result<Self::Connection, String>;

    /// Milliseconds since 1970.
    fn time_of_day(&self) -> u64;

    /// Time since anything; it never goes back.
    fn time(&self) -> Duration;
}

/// A connection that sends and then receives.
pub(crate) trait Connection {
    /// Goes on for no longer than a time, adds what was received, and says whether more can follow.
    ///
    /// # Errors
    /// It broke, in words.
    fn go_on(&mut self, wait: Duration, received: &mut Vec<u8>) -> Result<Progress, String>;
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "natively nothing connects"))]
pub(crate) enum Progress {
    /// Something was received.
    Received,
    /// The server has closed it.
    Closed,
    /// The time was over before anything came.
    Waiting,
}
