//! Publishing a bundle.

use oci_client::errors::OciDistributionError;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use reqwest::header::HeaderValue;
use vitral_bundle::{Bundle, Digest, Reference, Which};

use super::format::Published;
use super::{Client, Session};
use crate::error::RegistryError;
use crate::transport::{Direction, Options, Push, Pushed, Transfer};

/// How many bytes are sent at a time.
const CHUNK: usize = 1 << 20;

impl Client {
    /// Publishes a bundle under its version. What the registry has already is not sent again.
    ///
    /// # Errors
    /// The bundle is no plugin of that name and version, there is another one, or the registry cannot be
    /// reached or does not allow it.
    pub fn push(&self, to: &Reference, bytes: &[u8], how: Push) -> Result<Pushed, RegistryError> {
        let bundle = Bundle::from_bytes(&to.to_string(), bytes)?;
        let to = target(to, &bundle)?;
        let session = self.session(&to)?;
        self.wait(session.push(&bundle, bytes, how, &self.options))
    }
}

/// Where a bundle goes: under its version, which may be left out.
fn target(to: &Reference, bundle: &Bundle) -> Result<Reference, RegistryError> {
    let manifest = bundle.manifest();
    if to.plugin() != manifest.name {
        return Err(RegistryError::Usage(format!(
            "{to} would hold plugin `{}`, but the last part of its name is to be the plugin's",
            manifest.name
        )));
    }
    let right = to.with(Which::Version(manifest.version.clone()));
    match to.which() {
        Which::Newest => Ok(right),
        Which::Version(version) if *version == manifest.version => Ok(right),
        _ => Err(RegistryError::Usage(format!(
            "the bundle has version {}, so that it goes to {right}",
            manifest.version
        ))),
    }
}

impl Session {
    async fn push(
        &self,
        bundle: &Bundle,
        bytes: &[u8],
        how: Push,
        options: &Options,
    ) -> Result<Pushed, RegistryError> {
        let failed = |error: serde_json::Error| RegistryError::Usage(error.to_string());
        let image = Published::image(bundle, bytes).map_err(failed)?;
        let artifact = Published::artifact(bundle, bytes).map_err(failed)?;
        let place = self.tagged(&bundle.manifest().version);
        let pushed = |form: &Published, was_there| Pushed {
            reference: self.at.clone(),
            digest: Digest::of(&form.manifest),
            was_there,
            is_plain_image: form.is_image,
        };
        let there = self.oci.pull_manifest_raw(&place, &self.auth, &[OCI_IMAGE_MEDIA_TYPE]).await;
        match there.map_err(|error| self.explain(error, &self.at.to_string())) {
            Ok((there, _)) => {
                let same = [&artifact, &image].into_iter().find(|form| form.manifest == there);
                if let Some(form) = same {
                    return Ok(pushed(form, true));
                }
                if !how.replace {
                    return Err(RegistryError::Exists {
                        reference: self.at.to_string(),
                        digest: format!("sha256:{}", Digest::of(&there)),
                    });
                }
            }
            Err(RegistryError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if !how.plain_image {
            match self.send(&place, &artifact, options).await {
                Ok(()) => return Ok(pushed(&artifact, false)),
                Err(error) if is_about_types(&error) => {}
                Err(error) => return Err(self.explain(error, &self.at.to_string())),
            }
        }
        let sent = self.send(&place, &image, options).await;
        sent.map_err(|error| self.explain(error, &self.at.to_string()))?;
        Ok(pushed(&image, false))
    }

    async fn send(
        &self,
        place: &oci_client::Reference,
        form: &Published,
        options: &Options,
    ) -> Result<(), OciDistributionError> {
        let total: u64 = form.blobs.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut before = 0;
        for (digest, bytes) in &form.blobs {
            let digest = format!("sha256:{digest}");
            if !self.oci.blob_exists(place, &digest).await? {
                let hears = options.on_progress.clone();
                let mut done = before;
                let chunks: Vec<Vec<u8>> = bytes.chunks(CHUNK).map(<[u8]>::to_vec).collect();
                let stream = futures_util::stream::iter(chunks.into_iter().map(move |chunk| {
                    done += chunk.len() as u64;
                    if let Some(hears) = &hears {
                        hears(Transfer { direction: Direction::Up, done, total });
                    }
                    Ok(chunk.into())
                }));
                let size = Some(bytes.len() as u64);
                match self.oci.push_blob_stream(place, stream, &digest, size).await {
                    // It does not take chunks.
                    Err(OciDistributionError::SpecViolationError(_)) => {
                        self.oci.push_blob(place, bytes.clone(), &digest).await?;
                    }
                    sent => drop(sent?),
                }
            }
            before += bytes.len() as u64;
        }
        let content_type = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        self.oci.push_manifest_raw(place, form.manifest.clone(), content_type).await?;
        Ok(())
    }
}

/// Whether a registry does not take a manifest of types that it does not know.
fn is_about_types(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ServerError { code, message, .. } => {
            let refused =
                ["MANIFEST_INVALID", "UNSUPPORTED", "unsupported", "media type", "mediaType"];
            *code == 415
                || (matches!(code, 400 | 404 | 405 | 422)
                    && refused.iter().any(|word| message.contains(word)))
        }
        OciDistributionError::SpecViolationError(_) => true,
        _ => false,
    }
}
