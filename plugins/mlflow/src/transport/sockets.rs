//! Connections by WASI's sockets, which reach what the host lets them.

use std::time::Duration;

use wasip2::{
    clocks::{monotonic_clock, wall_clock},
    io::{
        poll::{Pollable, poll},
        streams::{InputStream, OutputStream, StreamError},
    },
    sockets::{
        instance_network::instance_network,
        ip_name_lookup::{ResolveAddressStream, resolve_addresses},
        network::{
            ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress,
            Ipv6SocketAddress, Network,
        },
        tcp::TcpSocket,
        tcp_create_socket::create_tcp_socket,
    },
};

use super::{Connection, Progress, Transport};
use crate::server::Server;

/// Bytes that are read at once.
const PIECE: u64 = 64 << 10;

/// The network and clocks of WASI.
#[derive(Debug, Default)]
pub(crate) struct Sockets;

impl Transport for Sockets {
    type Connection = Socket;

    fn connect(&mut self, server: &Server, request: Vec<u8>) -> Result<Socket, String> {
        let network = instance_network();
        let names = resolve_addresses(&network, &server.host);
        let names = names.map_err(|error| reason(error, server))?;
        Ok(Socket {
            stage: Stage::LookingUp { names, found: Vec::new() },
            network,
            request,
            server: server.clone(),
        })
    }

    fn time_of_day(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds * 1000 + u64::from(now.nanoseconds / 1_000_000)
    }

    fn time(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }
}

/// A connection, from the name of its host to the last byte.
pub(crate) struct Socket {
    stage: Stage,
    network: Network,
    request: Vec<u8>,
    server: Server,
}

enum Stage {
    LookingUp {
        names: ResolveAddressStream,
        found: Vec<IpAddress>,
    },
    /// And to which addresses next, the last one first, if it cannot to this one.
    Connecting {
        socket: TcpSocket,
        others: Vec<IpAddress>,
    },
    Sending {
        stream: Stream,
        sent: usize,
    },
    Receiving {
        stream: Stream,
    },
    Over,
}

/// Dropped in this order, as WASI has it.
struct Stream {
    input: InputStream,
    output: OutputStream,
    _socket: TcpSocket,
}

/// What a connection does next.
enum Next {
    Wait(Pollable),
    GoOn,
    Tell(Progress),
}

impl Connection for Socket {
    fn go_on(&mut self, wait: Duration, received: &mut Vec<u8>) -> Result<Progress, String> {
        let timer = (!wait.is_zero()).then(|| {
            monotonic_clock::subscribe_duration(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
        });
        loop {
            match self.next(received)? {
                Next::GoOn => {}
                Next::Tell(progress) => return Ok(progress),
                Next::Wait(ready) => {
                    let Some(timer) = &timer else { return Ok(Progress::Waiting) };
                    // Where both are ready, what is waited for counts.
                    if !poll(&[&ready, timer]).contains(&0) {
                        return Ok(Progress::Waiting);
                    }
                }
            }
        }
    }
}

impl Socket {
    fn next(&mut self, received: &mut Vec<u8>) -> Result<Next, String> {
        let failed = |error: ErrorCode| reason(error, &self.server);
        match &mut self.stage {
            Stage::LookingUp { names, found } => match names.resolve_next_address() {
                Err(ErrorCode::WouldBlock) => return Ok(Next::Wait(names.subscribe())),
                Err(error) => return Err(failed(error)),
                Ok(Some(address)) => found.push(address),
                Ok(None) => {
                    found.reverse();
                    let others = std::mem::take(found);
                    self.stage = self.connect(others, ErrorCode::NameUnresolvable)?;
                }
            },
            Stage::Connecting { socket, others } => match socket.finish_connect() {
                Err(ErrorCode::WouldBlock) => return Ok(Next::Wait(socket.subscribe())),
                Err(error) => {
                    let others = std::mem::take(others);
                    self.stage = self.connect(others, error)?;
                }
                Ok((input, output)) => {
                    let Stage::Connecting { socket, .. } =
                        std::mem::replace(&mut self.stage, Stage::Over)
                    else {
                        return Ok(Next::GoOn);
                    };
                    let stream = Stream { input, output, _socket: socket };
                    self.stage = Stage::Sending { stream, sent: 0 };
                }
            },
            Stage::Sending { stream, sent } => {
                let broken = |_: StreamError| "the connection broke".to_owned();
                let rest = &self.request[*sent..];
                if rest.is_empty() {
                    let Stage::Sending { stream, .. } =
                        std::mem::replace(&mut self.stage, Stage::Over)
                    else {
                        return Ok(Next::GoOn);
                    };
                    self.stage = Stage::Receiving { stream };
                    return Ok(Next::GoOn);
                }
                let room = stream.output.check_write().map_err(broken)?;
                if room == 0 {
                    return Ok(Next::Wait(stream.output.subscribe()));
                }
                let count = rest.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                stream.output.write(&rest[..count]).map_err(broken)?;
                *sent += count;
            }
            Stage::Receiving { stream } => match stream.input.read(PIECE) {
                Ok(bytes) if bytes.is_empty() => return Ok(Next::Wait(stream.input.subscribe())),
                Ok(bytes) => {
                    received.extend(bytes);
                    return Ok(Next::Tell(Progress::Received));
                }
                Err(StreamError::Closed) => self.stage = Stage::Over,
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(format!("the connection broke: {}", error.to_debug_string()));
                }
            },
            Stage::Over => return Ok(Next::Tell(Progress::Closed)),
        }
        Ok(Next::GoOn)
    }

    /// Connects to the last of the addresses, or fails with what was wrong with the one before.
    fn connect(&self, mut others: Vec<IpAddress>, wrong: ErrorCode) -> Result<Stage, String> {
        let failed = |error: ErrorCode| reason(error, &self.server);
        let address = others.pop().ok_or_else(|| failed(wrong))?;
        let port = self.server.port;
        let (family, address) = match address {
            IpAddress::Ipv4(address) => {
                let address = Ipv4SocketAddress { port, address };
                (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(address))
            }
            IpAddress::Ipv6(address) => {
                let address = Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 };
                (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
            }
        };
        let socket = create_tcp_socket(family).map_err(failed)?;
        socket.start_connect(&self.network, address).map_err(failed)?;
        Ok(Stage::Connecting { socket, others })
    }
}

/// Why there is no connection, in words.
fn reason(error: ErrorCode, server: &Server) -> String {
    match error {
        ErrorCode::AccessDenied => format!("this plugin is not granted `{}`", server.peer()),
        ErrorCode::ConnectionRefused => "nothing listens there".into(),
        ErrorCode::NameUnresolvable => format!("no address was found of {:?}", server.host),
        ErrorCode::RemoteUnreachable => "there is no route to it".into(),
        ErrorCode::Timeout => "it does not answer".into(),
        other => other.name().replace('-', " "),
    }
}
