//! Who the user is to a registry, as Docker's configuration has it.

use docker_credential::{CredentialRetrievalError as Error, DockerCredential, get_credential};
use oci_client::secrets::RegistryAuth;

use crate::error::RegistryError;

/// What Docker calls its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The credentials for a registry, and the user's name. Where there are none, it is asked without.
pub(super) fn of(registry: &str) -> Result<(RegistryAuth, Option<String>), RegistryError> {
    let names = match registry {
        "docker.io" | "index.docker.io" => vec![DOCKER_HUB.to_owned()],
        registry => vec![registry.to_owned(), format!("https://{registry}")],
    };
    let wrong = |problem: String| RegistryError::Credentials { registry: registry.into(), problem };
    for name in names {
        match get_credential(&name) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Ok((RegistryAuth::Basic(user.clone(), password), Some(user)));
            }
            Ok(DockerCredential::IdentityToken(_)) => {
                return Err(wrong(format!(
                    "they are an identity token; `docker login {registry} --username ...` keeps a user and \
                     password or access token"
                )));
            }
            Err(Error::NoCredentialConfigured | Error::ConfigNotFound | Error::ConfigReadError) => {
            }
            // What all of Docker's helpers say where they have none.
            Err(Error::HelperFailure { stdout, .. })
                if stdout.contains("credentials not found") => {}
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
    Ok((RegistryAuth::Anonymous, None))
}
