//! Where a registry has passwords sent: to itself, or to a service that gives tokens for them.

use http_auth::parser::ChallengeParser;
use reqwest::Url;
use reqwest::header::WWW_AUTHENTICATE;
use semver::Version;

use super::{Session, explain::innermost};
use crate::error::RegistryError;

impl Session {
    /// Makes sure that a password goes nowhere without TLS, unless the registry is spoken to without.
    pub(super) async fn check_challenge(
        &self,
        http: &reqwest::Client,
    ) -> Result<(), RegistryError> {
        let scheme = if self.is_plain { "http" } else { "https" };
        let place = self.tagged(&Version::new(0, 0, 0));
        let url = format!("{scheme}://{}/v2/", place.resolve_registry());
        let response = http.get(url).send().await;
        let response = response.map_err(|error| self.unreachable(innermost(&error)))?;
        for header in response.headers().get_all(WWW_AUTHENTICATE) {
            let realms = header.to_str().map(realms).unwrap_or_default();
            if let Some(realm) = realms.iter().find(|realm| !self.is_plain && !has_tls(realm)) {
                return Err(RegistryError::Credentials {
                    registry: self.at.registry().to_owned(),
                    problem: format!(
                        "it would have them sent to {realm:?}, which is without TLS; nothing was sent"
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Where tokens are given, of what a registry says about logins.
fn realms(header: &str) -> Vec<String> {
    let challenges = ChallengeParser::new(header).filter_map(Result::ok);
    let bearer = challenges.filter(|challenge| challenge.scheme.eq_ignore_ascii_case("Bearer"));
    let params = bearer.flat_map(|challenge| challenge.params);
    let realms = params.filter(|(name, _)| name.eq_ignore_ascii_case("realm"));
    realms.map(|(_, realm)| realm.to_unescaped()).collect()
}

fn has_tls(realm: &str) -> bool {
    Url::parse(realm).is_ok_and(|realm| realm.scheme() == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_to_no_service_without_tls() {
        let all_have_tls = |header: &str| {
            let realms = realms(header);
            (realms.len(), realms.iter().all(|realm| has_tls(realm)))
        };
        for (header, expected) in [
            (r#"Bearer realm="https://auth.r.org/token",service="r.org""#, (1, true)),
            (r#"Bearer realm="http://auth.r.org/token",service="r.org""#, (1, false)),
            (r#"bearer service="r.org", REALM="HTTP://auth.r.org/token""#, (1, false)),
            (r#"Basic realm="r", Bearer realm="http://auth.r.org/token""#, (1, false)),
            (r#"Bearer realm="/token""#, (1, false)),
            (r#"Basic realm="http://r.org""#, (0, true)),
        ] {
            assert_eq!(all_have_tls(header), expected, "{header}");
        }
    }
}
