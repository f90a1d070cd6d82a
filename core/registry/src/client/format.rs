//! How a bundle lies in a registry: as an artifact of its own type, or as an image, for registries that take
//! nothing else. The image has one file, the bundle, and its card is a label.

use std::collections::BTreeMap;
use std::io::Read;

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
    OciImageManifest,
};
use serde_json::{Value, json};
use vitral_bundle::{Bundle, Digest, MAX_UNPACKED_BYTES};

use crate::card::Card;
use crate::error::RegistryError;

/// The type of a plugin.
const ARTIFACT: &str = "application/vnd.vitral.plugin.v1";
/// The type of its card.
const CARD: &str = "application/vnd.vitral.plugin.card.v1+json";
/// The type of its bundle.
const BUNDLE: &str = "application/vnd.vitral.plugin.bundle.v1";
/// An image's label with the card, and the beginning of annotations that are ours.
const OURS: &str = "io.github.vitral-rs.plugin";
const TITLE: &str = "org.opencontainers.image.title";

/// The most bytes that are fetched: a bundle's, with what an archive adds.
const MOST: u64 = MAX_UNPACKED_BYTES + (32 << 20);

/// What is fetched of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(super) descriptor: OciDescriptor,
    pub(super) digest: Digest,
    pub(super) size: u64,
    is_image: bool,
}

/// A bundle as it lies in a registry.
pub(super) struct Published {
    /// The manifest's JSON.
    pub manifest: Vec<u8>,
    /// What it names: digest and bytes.
    pub blobs: Vec<(Digest, Vec<u8>)>,
    pub is_image: bool,
}

impl Published {
    /// A bundle as an artifact of its own type.
    pub(super) fn artifact(bundle: &Bundle, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let card = serde_json::to_vec(&Card::of(bundle))?;
        let config = descriptor(CARD, &card, None);
        let layer = descriptor(BUNDLE, bytes, Some(bundle.file_name()));
        let manifest = manifest(bundle, config, layer, Some(ARTIFACT.into()));
        Self::of(&manifest, [card, bytes.to_vec()], false)
    }

    /// A bundle as an image.
    pub(super) fn image(bundle: &Bundle, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let layer = archive(&bundle.file_name(), bytes);
        let card = serde_json::to_string(&Card::of(bundle))?;
        let config = serde_json::to_vec(&json!({
            "architecture": "wasm",
            "os": "wasi",
            "config": { "Labels": { OURS: card } },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", Digest::of(&layer))] },
        }))?;
        let described = descriptor(IMAGE_CONFIG_MEDIA_TYPE, &config, None);
        let layer_described = descriptor(IMAGE_LAYER_MEDIA_TYPE, &layer, Some(bundle.file_name()));
        let manifest = manifest(bundle, described, layer_described, None);
        Self::of(&manifest, [config, layer], true)
    }

    fn of(
        manifest: &OciImageManifest,
        blobs: [Vec<u8>; 2],
        is_image: bool,
    ) -> Result<Self, serde_json::Error> {
        let manifest = serde_json::to_vec(manifest)?;
        let blobs = blobs.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect();
        Ok(Self { manifest, blobs, is_image })
    }
}

/// The card in what a manifest has as its configuration.
pub(super) fn card(
    name: &str,
    manifest: &OciImageManifest,
    config: Vec<u8>,
) -> Result<Vec<u8>, RegistryError> {
    if manifest.config.media_type == CARD {
        return Ok(config);
    }
    let image: Value = serde_json::from_slice(&config).unwrap_or_default();
    let card = image["config"]["Labels"][OURS].as_str();
    let problem = "it is an image without a plugin".to_owned();
    card.map(|card| card.as_bytes().to_vec())
        .ok_or(RegistryError::NoPlugin { what: name.to_owned(), problem })
}

impl Layer {
    /// What there is to fetch of a manifest.
    pub(super) fn of(name: &str, manifest: &OciImageManifest) -> Result<Self, RegistryError> {
        let wrong = |problem: String| RegistryError::NoPlugin { what: name.to_owned(), problem };
        let layer = match manifest.layers.as_slice() {
            [layer] if [BUNDLE, IMAGE_LAYER_MEDIA_TYPE].contains(&layer.media_type.as_str()) => {
                layer
            }
            [layer] => return Err(wrong(format!("it holds {:?}", layer.media_type))),
            layers => {
                return Err(wrong(format!("it has {} parts, and a plugin one", layers.len())));
            }
        };
        let digest = layer.digest.strip_prefix("sha256:").and_then(|digest| digest.parse().ok());
        let size = u64::try_from(layer.size).ok().filter(|size| (1..=MOST).contains(size));
        match (digest, size) {
            (Some(digest), Some(size)) => Ok(Self {
                // Only the registry itself is asked, not what a stranger's manifest names.
                descriptor: OciDescriptor { urls: None, ..layer.clone() },
                digest,
                size,
                is_image: layer.media_type == IMAGE_LAYER_MEDIA_TYPE,
            }),
            _ => Err(wrong(format!(
                "its bundle would have digest {:?} and {} bytes; there are at most {MOST}",
                layer.digest, layer.size
            ))),
        }
    }

    /// The bundle in what was fetched.
    pub(super) fn unpack(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, RegistryError> {
        if !self.is_image {
            return Ok(bytes);
        }
        let wrong = || RegistryError::NoPlugin {
            what: name.to_owned(),
            problem: "its archive does not hold one bundle".into(),
        };
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().map_err(|_| wrong())?;
        let entry = entries.next().and_then(Result::ok).ok_or_else(wrong)?;
        // A plain file is no larger than its archive; one with holes could be of any size.
        let is_plain = entry.header().entry_type() == tar::EntryType::Regular;
        if !is_plain || entry.size() > bytes.len() as u64 {
            return Err(wrong());
        }
        let mut bundle = Vec::new();
        entry.take(MOST).read_to_end(&mut bundle).map_err(|_| wrong())?;
        Ok(bundle)
    }
}

fn descriptor(media_type: &str, bytes: &[u8], title: Option<String>) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{}", Digest::of(bytes)),
        size: bytes.len() as i64,
        annotations: title.map(|title| BTreeMap::from([(TITLE.to_owned(), title)])),
        ..OciDescriptor::default()
    }
}

fn manifest(
    bundle: &Bundle,
    config: OciDescriptor,
    layer: OciDescriptor,
    artifact_type: Option<String>,
) -> OciImageManifest {
    let of = bundle.manifest();
    let named = |name: &str| format!("org.opencontainers.image.{name}");
    let authors = (!of.authors.is_empty()).then(|| of.authors.join(", "));
    let signer = bundle.signing_key().map(|key| key.to_string());
    let annotations = [
        (TITLE.to_owned(), Some(of.name.clone())),
        (named("version"), Some(of.version.to_string())),
        (named("description"), Some(of.summary.clone())),
        (named("licenses"), of.license.clone()),
        (named("authors"), authors),
        (named("url"), of.homepage.clone()),
        (format!("{OURS}.kind"), Some(of.kind().to_string())),
        (format!("{OURS}.digest"), Some(bundle.digest().to_string())),
        (format!("{OURS}.signer"), signer),
    ];
    OciImageManifest {
        schema_version: 2,
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config,
        layers: vec![layer],
        subject: None,
        artifact_type,
        annotations: Some(
            annotations.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
        ),
    }
}

/// An archive of one file, always the same bytes.
fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    // Writing to memory fails only for names that a header cannot hold, and a bundle's has at most a hundred
    // letters or so, which it holds.
    let written = builder.append_data(&mut header, name, bytes);
    written.and_then(|()| builder.into_inner()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, RegistryError> {
        let layer = Layer {
            descriptor: OciDescriptor::default(),
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            is_image: true,
        };
        layer.unpack("r.org/lab/blur:1.0.0", bytes)
    }

    #[test]
    fn a_file_with_holes_is_not_unpacked() {
        assert_eq!(unpack(archive("blur-1.0.0.vitral", b"bundle")).unwrap(), b"bundle");
        let mut header = tar::Header::new_gnu();
        header.set_path("blur-1.0.0.vitral").unwrap();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_size(0);
        let size = 1 << 62;
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(size);
        gnu.sparse[0].set_offset(size);
        gnu.sparse[0].set_length(0);
        header.set_cksum();
        let mut sparse = header.as_bytes().to_vec();
        sparse.resize(1536, 0);
        // It is one that could be read without end.
        let mut read = tar::Archive::new(sparse.as_slice());
        assert_eq!(read.entries().unwrap().next().unwrap().unwrap().size(), size);
        let error = unpack(sparse).unwrap_err().to_string();
        assert!(error.contains("does not hold one bundle"), "{error}");
    }
}
