//! A client of OCI registries and web servers.

mod challenge;
mod credentials;
mod download;
mod explain;
mod format;
mod plain;
mod push;
mod tags;

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use semver::Version;
use tokio::runtime::Runtime;
use vitral_bundle::{Bundle, Digest, Reference, Which};

use crate::card::{self, Card};
use crate::error::RegistryError;
use crate::transport::{Found, Options};

pub(crate) use format::Layer;

/// How long nothing may come before a transfer is made again.
const SILENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);

/// Reaches registries and web servers.
pub struct Client {
    options: Options,
    runtime: Runtime,
    http: reqwest::Client,
}

/// What is known of one registry while something is done there.
struct Session {
    oci: oci_client::Client,
    auth: RegistryAuth,
    user: Option<String>,
    at: Reference,
    /// Whether it is spoken to without TLS.
    is_plain: bool,
}

impl Client {
    /// A client; nothing is reached yet.
    ///
    /// # Errors
    /// The system has no certificates, or gives no sockets.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        // Whoever was first installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |problem: String| {
            RegistryError::Usage(format!(
                "TLS cannot be used here: {problem}; install `ca-certificates`"
            ))
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(USER_AGENT)
            .redirect(plain::redirects())
            .build()
            .map_err(|error| wrong(explain::innermost(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
        Ok(Self { options, runtime, http })
    }

    /// The versions of a plugin, oldest first.
    ///
    /// # Errors
    /// The registry cannot be reached, does not allow it, or has no such plugin.
    pub fn versions(&self, reference: &Reference) -> Result<Vec<Version>, RegistryError> {
        let session = self.session(reference)?;
        self.wait(session.versions())
    }

    /// Finds a plugin and what is told about it, without its bundle.
    ///
    /// # Errors
    /// As [`versions`](Self::versions), and if what is there is no plugin.
    pub fn find(&self, reference: &Reference) -> Result<Found, RegistryError> {
        let session = self.session(reference)?;
        self.wait(session.find(reference, &self.options.avoid))
    }

    /// Fetches a bundle, whole and as it was announced. What came of it before is not fetched again.
    ///
    /// # Errors
    /// The registry cannot be reached any more, or what comes is damaged or another bundle.
    pub fn pull(&self, found: &Found) -> Result<Vec<u8>, RegistryError> {
        let session = self.session(&found.reference)?;
        let bytes = self.wait(session.download(&found.layer, &self.options))?;
        let name = found.reference.to_string();
        let bytes = found.layer.unpack(&name, bytes)?;
        found.card.check(&name, &Bundle::from_bytes(&name, &bytes)?)?;
        Ok(bytes)
    }

    /// Fetches a file of at most so many bytes from a web server.
    ///
    /// # Errors
    /// The server cannot be reached, has no such file, or one that is larger.
    pub fn get(&self, url: &str, most: u64) -> Result<Vec<u8>, RegistryError> {
        plain::check_address(&self.options.plain_http, url)?;
        let failed = |error: reqwest::Error| explain::web(url, &error);
        self.wait(async {
            let response = self.http.get(url).send().await.map_err(failed)?;
            let mut stream = response.error_for_status().map_err(failed)?.bytes_stream();
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk.map_err(failed)?);
                if bytes.len() as u64 > most {
                    let problem = format!("it has more than the {most} bytes that it may have");
                    return Err(RegistryError::Index { index: url.to_owned(), problem });
                }
            }
            Ok(bytes)
        })
    }

    fn session(&self, at: &Reference) -> Result<Session, RegistryError> {
        let is_plain = plain::is_plain(&self.options.plain_http, at.registry())?;
        let protocol = match is_plain {
            true => ClientProtocol::HttpsExcept(vec![at.registry().to_owned()]),
            false => ClientProtocol::Https,
        };
        let config = ClientConfig {
            protocol,
            platform_resolver: None,
            read_timeout: Some(SILENCE),
            connect_timeout: Some(CONNECT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let (auth, user) = credentials::of(at.registry())?;
        let oci = oci_client::Client::try_from(config);
        let oci = oci.map_err(|error| RegistryError::Usage(explain::innermost(&error)))?;
        let session = Session { oci, auth, user, at: at.clone(), is_plain };
        if matches!(session.auth, RegistryAuth::Basic(..)) {
            self.wait(session.check_challenge(&self.http))?;
        }
        Ok(session)
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

const USER_AGENT: &str = concat!("vitral/", env!("CARGO_PKG_VERSION"));

impl Session {
    /// The place of a version, as the client has it.
    fn tagged(&self, version: &Version) -> oci_client::Reference {
        let (registry, repository) = (self.at.registry().into(), self.at.repository().into());
        oci_client::Reference::with_tag(registry, repository, Reference::tag(version))
    }

    fn by_digest(&self, digest: Digest) -> oci_client::Reference {
        let (registry, repository) = (self.at.registry().into(), self.at.repository().into());
        oci_client::Reference::with_digest(registry, repository, format!("sha256:{digest}"))
    }

    async fn versions(&self) -> Result<Vec<Version>, RegistryError> {
        let place = self.tagged(&Version::new(0, 0, 0));
        let page = async |last: Option<String>| {
            let size = Some(tags::PAGE);
            let page = self.oci.list_tags(&place, &self.auth, size, last.as_deref()).await;
            page.map(|page| page.tags).map_err(|error| self.explain(error, &self.at.place()))
        };
        let tags = tags::all(page).await?;
        let mut versions: Vec<Version> =
            tags.iter().filter_map(|tag| Reference::version(tag)).collect();
        versions.sort();
        versions.dedup();
        Ok(versions)
    }

    /// The version that is meant, of those that there are.
    async fn resolve(
        &self,
        reference: &Reference,
        avoid: &[(String, Version)],
    ) -> Result<Reference, RegistryError> {
        let wanted = match reference.which() {
            Which::Version(_) | Which::Digest(_) => return Ok(reference.clone()),
            Which::Wanted(wanted) => Some(wanted),
            Which::Newest => None,
        };
        let versions = self.versions().await?;
        let place = reference.place();
        let is_avoided =
            |version: &Version| avoid.iter().any(|(at, other)| *at == place && other == version);
        let would_do = |version: &&Version| match wanted {
            Some(wanted) => wanted.matches(version),
            None => version.pre.is_empty(),
        };
        let fits = |version: &&Version| !is_avoided(version) && would_do(version);
        let newest = versions.iter().rfind(fits);
        newest.map(|version| reference.with(Which::Version(version.clone()))).ok_or_else(|| {
            let would_do = versions.iter().rfind(would_do);
            let help = would_do.map_or_else(
                || there_is(&versions),
                |version| {
                    format!(
                        ": all matching versions were yanked, {version} being the newest; `vitral \
                     plugin outdated` says why, and {} names it anyway",
                        reference.with(Which::Version(version.clone()))
                    )
                },
            );
            RegistryError::NotFound { what: reference.to_string(), help }
        })
    }

    async fn find(
        &self,
        reference: &Reference,
        avoid: &[(String, Version)],
    ) -> Result<Found, RegistryError> {
        let reference = self.resolve(reference, avoid).await?;
        let name = reference.to_string();
        let place = match reference.which() {
            Which::Version(version) => self.tagged(version),
            Which::Digest(digest) => self.by_digest(*digest),
            // Resolving leaves one of the two above.
            Which::Newest | Which::Wanted(_) => self.tagged(&Version::new(0, 0, 0)),
        };
        let pulled = self.oci.pull_manifest_raw(&place, &self.auth, &[OCI_IMAGE_MEDIA_TYPE]).await;
        let (manifest, _) = match pulled.map_err(|error| self.explain(error, &name)) {
            Err(RegistryError::NotFound { what, .. }) => {
                let versions = self.versions().await.unwrap_or_default();
                return Err(RegistryError::NotFound { what, help: there_is(&versions) });
            }
            pulled => pulled?,
        };
        let digest = Digest::of(&manifest);
        let manifest: OciImageManifest =
            serde_json::from_slice(&manifest).map_err(|error| RegistryError::NoPlugin {
                what: name.clone(),
                problem: format!("its manifest: {error}"),
            })?;
        let layer = Layer::of(&name, &manifest)?;
        let described = self.small(&place, &manifest.config, &name).await?;
        let card = Card::parse(&name, &format::card(&name, &manifest, described)?)?;
        let declared = card.manifest(&name)?;
        if declared.name != reference.plugin() {
            let problem = format!("it holds plugin `{}`", declared.name);
            return Err(RegistryError::NoPlugin { what: name, problem });
        }
        if let Which::Version(version) = reference.which()
            && *version != declared.version
        {
            let problem = format!("it holds version {}", declared.version);
            return Err(RegistryError::NoPlugin { what: name, problem });
        }
        Ok(Found { bytes: layer.size, layer, reference, digest, card })
    }

    /// What a card is in, whole.
    async fn small(
        &self,
        place: &oci_client::Reference,
        descriptor: &OciDescriptor,
        name: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        // Only the registry itself is asked, not what a stranger's manifest names.
        let descriptor = &OciDescriptor { urls: None, ..descriptor.clone() };
        let most = card::MOST;
        let wrong = || RegistryError::NoPlugin {
            what: name.to_owned(),
            problem: format!("what it says about itself has more than {most} bytes"),
        };
        let failed = |error| self.explain(error, name);
        let broken = |error| failed(OciDistributionError::IoError(error));
        let mut stream = self.oci.pull_blob_stream(place, descriptor).await.map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(broken)?);
            if bytes.len() as u64 > most {
                return Err(wrong());
            }
        }
        let found = format!("sha256:{}", Digest::of(&bytes));
        match found == descriptor.digest {
            true => Ok(bytes),
            false => Err(RegistryError::Damaged {
                what: name.to_owned(),
                expected: descriptor.digest.clone(),
                found,
            }),
        }
    }
}

fn there_is(versions: &[Version]) -> String {
    const MOST: usize = 10;
    let newest: Vec<String> = versions.iter().rev().take(MOST).map(Version::to_string).collect();
    match newest.is_empty() {
        true => String::new(),
        false => format!("; there is {}", newest.join(", ")),
    }
}
