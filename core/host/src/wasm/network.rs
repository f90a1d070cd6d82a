//! The network as a component sees it: connections to the hosts that the user grants, and nothing else.
//!
//! WASI connects to addresses, and users grant names. So a component may look up the names that are
//! granted, and what comes of that are the addresses that it may connect to, each at the granted port.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wasmtime::{
    Error, Result,
    component::{HasData, Resource},
};
use wasmtime_wasi::{
    WasiCtxBuilder,
    p2::{
        DynPollable, Network as NetworkResource, SocketError, SocketResult,
        bindings::sockets::{
            ip_name_lookup::{self, ResolveAddressStream},
            network::{self, ErrorCode, IpAddress},
        },
    },
    sockets::{SocketAddrUse, WasiSocketsCtxView},
};

use crate::Peer;

/// The most refusals that are told of one instance.
const MAX_REFUSED: usize = 20;

/// What an instance may reach, and what it was refused.
pub(super) struct Network {
    reach: Arc<Mutex<Reach>>,
    /// The granted names that are being looked up, by their stream of addresses.
    lookups: HashMap<u32, String>,
}

struct Reach {
    granted: Vec<Peer>,
    /// What names were found to be.
    known: HashSet<SocketAddr>,
    /// What has been refused, and how much of that is still to be told.
    refused: HashSet<String>,
    untold: Vec<String>,
}

impl Network {
    pub(super) fn new(granted: &[Peer]) -> Self {
        let literal = |peer: &Peer| Some((peer.host().parse::<IpAddr>().ok()?, peer.port()));
        let known = granted.iter().filter_map(literal).map(SocketAddr::from).collect();
        let reach =
            Reach { granted: granted.to_vec(), known, refused: HashSet::new(), untold: Vec::new() };
        Self { reach: Arc::new(Mutex::new(reach)), lookups: HashMap::new() }
    }

    /// Allows what is granted: to connect, over TCP.
    pub(super) fn allow(&self, builder: &mut WasiCtxBuilder) {
        let grants_any = !self.lock().granted.is_empty();
        builder.allow_tcp(grants_any).allow_udp(false).allow_ip_name_lookup(grants_any);
        let reach = Arc::clone(&self.reach);
        builder.socket_addr_check(move |address, what| {
            let is_allowed = lock(&reach).allows(address, what);
            Box::pin(async move { is_allowed })
        });
    }

    /// Takes what was refused since the last time, in sentences.
    pub(super) fn take_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lock().untold)
    }

    fn lock(&self) -> MutexGuard<'_, Reach> {
        lock(&self.reach)
    }
}

fn lock(reach: &Mutex<Reach>) -> MutexGuard<'_, Reach> {
    // Nothing is left half done in it.
    reach.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reach {
    fn allows(&mut self, address: SocketAddr, what: SocketAddrUse) -> bool {
        match what {
            // What a connection begins with where the component has bound its socket to nothing.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpConnect => {
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let is_allowed = self.known.contains(&address);
                if !is_allowed {
                    self.refuse(format!("connect to {address}"));
                }
                is_allowed
            }
            _ => {
                self.refuse("take connections from others".into());
                false
            }
        }
    }

    fn refuse(&mut self, what: String) {
        if self.refused.len() < MAX_REFUSED && self.refused.insert(what.clone()) {
            let granted: Vec<String> = self.granted.iter().map(Peer::to_string).collect();
            let granted = match granted.is_empty() {
                true => "no host is granted to it".into(),
                false => format!("granted to it: {}", granted.join(", ")),
            };
            self.untold.push(format!("refused: it tried to {what} ({granted})"));
        }
    }
}

/// The interface by which names are looked up.
pub(super) struct Names;

impl HasData for Names {
    type Data<'a> = NamesView<'a>;
}

/// Looks up names that are granted.
pub(super) struct NamesView<'a> {
    pub(super) sockets: WasiSocketsCtxView<'a>,
    pub(super) network: &'a mut Network,
}

impl ip_name_lookup::Host for NamesView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<NetworkResource>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        let mut reach = self.network.lock();
        if !reach.granted.iter().any(|peer| peer.is_host(&name)) {
            reach.refuse(format!("look up {name:?}"));
            return Err(ErrorCode::AccessDenied.into());
        }
        drop(reach);
        let stream = self.sockets.resolve_addresses(network, name.clone())?;
        self.network.lookups.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl ip_name_lookup::HostResolveAddressStream for NamesView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let name = self.network.lookups.get(&stream.rep()).cloned();
        let found = self.sockets.resolve_next_address(stream)?;
        if let (Some(name), Some(address)) = (name, found) {
            let address = ip_of(address).to_canonical();
            let mut reach = self.network.lock();
            let ports = reach.granted.iter().filter(|peer| peer.is_host(&name)).map(Peer::port);
            let addresses: Vec<_> = ports.map(|port| SocketAddr::new(address, port)).collect();
            reach.known.extend(addresses);
        }
        Ok(found)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Resource<DynPollable>> {
        self.sockets.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> Result<()> {
        self.network.lookups.remove(&stream.rep());
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

impl network::Host for NamesView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl network::HostNetwork for NamesView<'_> {
    fn drop(&mut self, network: Resource<NetworkResource>) -> Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

fn ip_of(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => [a, b, c, d].into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => [a, b, c, d, e, f, g, h].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_granted_addresses_at_granted_ports_are_reached() {
        let granted = ["127.0.0.1:5000", "[::1]:5001"].map(|peer| peer.parse().unwrap());
        let mut network = Network::new(&granted);
        let connects = |address: &str| {
            network.lock().allows(address.parse().unwrap(), SocketAddrUse::TcpConnect)
        };
        for (address, expected) in [
            ("127.0.0.1:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("[::1]:5001", true),
            ("127.0.0.1:5001", false),
            ("[::1]:5000", false),
            ("127.0.0.2:5000", false),
        ] {
            assert_eq!(connects(address), expected, "{address}");
        }
        assert!(!connects("127.0.0.2:5000"), "it is told once");
        let refused = network.take_refused();
        assert_eq!(refused.len(), 3, "{refused:?}");
        for part in ["127.0.0.1:5001", "granted to it: 127.0.0.1:5000, [::1]:5001"] {
            assert!(refused[0].contains(part), "{refused:?}");
        }
        assert!(network.take_refused().is_empty());
    }

    #[test]
    fn nobody_listens_or_takes_a_port_of_their_own() {
        let mut network = Network::new(&["127.0.0.1:5000".parse().unwrap()]);
        let allows = |address: &str, what| network.lock().allows(address.parse().unwrap(), what);
        assert!(allows("0.0.0.0:0", SocketAddrUse::TcpBind));
        assert!(!allows("127.0.0.1:5000", SocketAddrUse::TcpBind));
        assert!(!allows("0.0.0.0:0", SocketAddrUse::TcpListen));
        assert!(!allows("127.0.0.1:5000", SocketAddrUse::UdpSend));
        assert_eq!(network.take_refused().len(), 1);
    }
}
