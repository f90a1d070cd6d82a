//! No connections: natively nothing would hold the plugin to the host that it is granted, so that only its
//! WebAssembly form is exported.

use std::{convert::Infallible, time::Duration};

use super::{Connection, Progress, Transport};
use crate::server::Server;

/// Connects to nothing.
#[derive(Debug, Default)]
pub(crate) struct Absent;

impl Transport for Absent {
    type Connection = Infallible;

    fn connect(&mut self, _: &Server, _: Vec<u8>) -> Result<Infallible, String> {
        Err("only its WebAssembly form has the network".into())
    }

    fn time_of_day(&self) -> u64 {
        0
    }

    fn time(&self) -> Duration {
        Duration::ZERO
    }
}

impl Connection for Infallible {
    fn go_on(&mut self, _: Duration, _: &mut Vec<u8>) -> Result<Progress, String> {
        match *self {}
    }
}
