//! What is spoken to without TLS.

use reqwest::Url;
use reqwest::redirect::Policy;
use vitral_bundle::Reference;

use crate::error::RegistryError;
use crate::transport::PlainHttp;

/// Whether a registry, named by its machine and port, is spoken to without TLS.
pub(super) fn is_plain(plain_http: &PlainHttp, registry: &str) -> Result<bool, RegistryError> {
    match plain_http {
        PlainHttp::Never => Ok(false),
        PlainHttp::Registry(named) => Ok(named == registry),
        PlainHttp::ThisMachine if Reference::is_this_machine(registry) => Ok(true),
        PlainHttp::ThisMachine => Err(RegistryError::Usage(format!(
            "--plain-http is only for this machine, which {registry} is not; \
             --plain-http={registry} sends passwords and plugins there without TLS, where anyone \
             on the way can read and change them"
        ))),
    }
}

/// Makes sure that an address has TLS or is one that is spoken to without.
pub(super) fn check_address(plain_http: &PlainHttp, address: &str) -> Result<(), RegistryError> {
    let wrong = |problem: String| RegistryError::Usage(format!("{address} {problem}"));
    let url = Url::parse(address).map_err(|error| wrong(format!("is not an address: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user in it, which the address of an index may not".into()));
    }
    if url.scheme() == "https" {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    let host = if url.port().is_some() { &with_port } else { host };
    match is_plain(plain_http, host)? || is_plain(plain_http, &with_port)? {
        true => Ok(()),
        false => Err(wrong(format!(
            "is without TLS, which anyone on the way can read and change; use https, or give \
             --plain-http={host}"
        ))),
    }
}

/// Goes where a server points, but not from TLS to where there is none.
pub(super) fn redirects() -> Policy {
    const MOST: usize = 10;
    Policy::custom(|attempt| {
        let before = attempt.previous();
        if before.len() > MOST {
            return attempt.error("it points from one place to the next without end");
        }
        if before.last().is_some_and(|from| loses_tls(from, attempt.url())) {
            let to = attempt.url().to_string();
            return attempt.error(format!("it points to {to}, which is without TLS"));
        }
        attempt.follow()
    })
}

fn loses_tls(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_by_what_fetches_it() {
        let said = |plain_http: PlainHttp, address: &str| {
            check_address(&plain_http, address).map_err(|error| error.to_string())
        };
        let named = |registry: &str| PlainHttp::Registry(registry.to_owned());
        for (plain_http, address) in [
            (PlainHttp::Never, "https://r.org/i.json"),
            (PlainHttp::ThisMachine, "http://localhost:5000/i.json"),
            (PlainHttp::ThisMachine, "http://127.0.0.1/i.json"),
            (named("r.org:5000"), "http://r.org:5000/i.json"),
            (named("r.org"), "http://r.org/i.json"),
            (named("r.org:80"), "http://r.org/i.json"),
        ] {
            said(plain_http, address).unwrap();
        }
        for (plain_http, address, expected) in [
            (PlainHttp::Never, "http://r.org/i.json", "--plain-http=r.org"),
            (PlainHttp::ThisMachine, "http://localhost:x@evil.org/i.json", "has a user in it"),
            (PlainHttp::ThisMachine, "http://evil.org\\localhost/i.json", "which evil.org is not"),
            (named("r.org"), "http://r.org:5000/i.json", "--plain-http=r.org:5000"),
            (PlainHttp::Never, "https://ada:sesame@r.org/i.json", "has a user in it"),
            (PlainHttp::Never, "https://", "is not an address"),
        ] {
            let error = said(plain_http, address).unwrap_err();
            assert!(error.contains(expected), "{address}: {error}");
        }
    }

    #[test]
    fn no_server_points_from_tls_to_where_there_is_none() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(loses_tls(&url("https://r.org/i"), &url("http://r.org/i")));
        assert!(!loses_tls(&url("https://r.org/i"), &url("https://s.org/i")));
        assert!(!loses_tls(&url("http://localhost/i"), &url("http://localhost/j")));
    }
}
