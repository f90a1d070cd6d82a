//! The address of a server.

use vitral_sdk::prelude::*;

/// A server, as `http://HOST:PORT/PATH` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// What all paths begin with, without a `/` at its end.
    pub path: String,
}

impl Server {
    pub fn parse(address: &str) -> Result<Self> {
        if address.starts_with("https://") {
            bail!(
                "`server` is {address:?}, but this plugin speaks HTTP without TLS: give the \
                 `http://` address of the server, or of a tunnel to it"
            );
        }
        let wrong = || {
            Error::new(format!(
                "`server` is {address:?}, but must be as in `http://localhost:5000`"
            ))
        };
        let rest = address.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are in brackets.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?)
            }
            _ => (authority, 80),
        };
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let is_path = |c: char| c.is_ascii_graphic() && !"?#".contains(c);
        if host.is_empty() || !host.chars().all(is_part) || !path.chars().all(is_path) {
            return Err(wrong());
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { host: host.to_owned(), port, path })
    }

    /// The host and its port, as a grant names them.
    pub fn peer(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_a_port_and_a_path() {
        for (address, host, port, path) in [
            ("http://localhost:5000", "localhost", 5000, ""),
            ("http://mlflow.lab", "mlflow.lab", 80, ""),
            ("http://mlflow.lab:80/behind/a/proxy/", "mlflow.lab", 80, "/behind/a/proxy"),
            ("http://[::1]:5000/", "::1", 5000, ""),
            ("http://[::1]", "::1", 80, ""),
        ] {
            let expected = Server { host: host.into(), port, path: path.into() };
            assert_eq!(Server::parse(address).unwrap(), expected);
        }
        let peer = |address| Server::parse(address).unwrap().peer();
        assert_eq!(peer("http://lab"), "lab:80");
        assert_eq!(peer("http://[::1]:5000"), "[::1]:5000");
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be() {
        for wrong in [
            "",
            "localhost:5000",
            "http://",
            "http://:80",
            "http://a b",
            "http://a:0",
            "http://u@a",
        ] {
            let error = Server::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("http://localhost:5000"), "{wrong}: {error}");
        }
        let error = Server::parse("https://lab").unwrap_err().to_string();
        assert!(error.contains("without TLS"), "{error}");
    }
}
