//! Fetching a bundle so that a transfer that was cut or killed goes on where it was.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use oci_client::client::BlobResponse;
use vitral_bundle::{Digest, Which};
use vitral_files::{Kind, Scratch, create_private_folder};

use super::{Layer, Session};
use crate::error::RegistryError;
use crate::transport::{Direction, Options, Transfer};

/// How often a transfer is tried again without a byte more having come.
const TRIES: u32 = 5;

/// What has come of a blob so far.
struct Part {
    path: PathBuf,
    file: File,
    has: u64,
    size: u64,
}

impl Part {
    /// The part in a folder, which nobody else writes to until it is dropped.
    fn open(folder: &Path, layer: &Layer) -> Result<Self, RegistryError> {
        let path = folder.join(format!("{}.part", layer.digest));
        let at = |error| RegistryError::io("write", &path, error);
        create_private_folder(folder).map_err(at)?;
        let file = vitral_files::update(&path, Kind::new("a transfer", u64::MAX)).map_err(at)?;
        file.lock().map_err(at)?;
        let has = file.metadata().map_err(at)?.len();
        let mut part = Self { file, has, size: layer.size, path };
        if has > part.size {
            part.empty()?;
        }
        part.seek()?;
        Ok(part)
    }

    fn empty(&mut self) -> Result<(), RegistryError> {
        self.file.set_len(0).map_err(|error| RegistryError::io("write", &self.path, error))?;
        self.has = 0;
        self.seek()
    }

    fn seek(&mut self) -> Result<(), RegistryError> {
        let sought = self.file.seek(SeekFrom::Start(self.has));
        sought.map(drop).map_err(|error| RegistryError::io("write", &self.path, error))
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| RegistryError::io("write", &self.path, error))?;
        self.has += bytes.len() as u64;
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<u8>, RegistryError> {
        let at = |error| RegistryError::io("read", &self.path, error);
        self.file.rewind().map_err(at)?;
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(at)?;
        Ok(bytes)
    }

    fn remove(&self) {
        // What stays is found again by its digest, and looked at before it is used.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Session {
    /// Fetches a blob whole.
    pub(super) async fn download(
        &self,
        layer: &Layer,
        options: &Options,
    ) -> Result<Vec<u8>, RegistryError> {
        let scratch;
        let folder = match &options.cache {
            Some(cache) => cache.join("transfers"),
            None => {
                let made = Scratch::create(None);
                scratch =
                    made.map_err(|error| RegistryError::io("write", Path::new("a folder"), error))?;
                scratch.path().to_owned()
            }
        };
        let mut part = Part::open(&folder, layer)?;
        let mut goes_on = part.has > 0;
        loop {
            self.fill(&mut part, layer, options).await?;
            let bytes = part.read()?;
            let found = Digest::of(&bytes);
            if found == layer.digest {
                part.remove();
                return Ok(bytes);
            }
            if !goes_on {
                part.remove();
                return Err(RegistryError::Damaged {
                    what: self.at.to_string(),
                    expected: format!("sha256:{}", layer.digest),
                    found: format!("sha256:{found}"),
                });
            }
            // What was there from before may be what is damaged.
            goes_on = false;
            part.empty()?;
        }
    }

    /// Fetches what a part lacks, with new tries as long as something comes.
    async fn fill(
        &self,
        part: &mut Part,
        layer: &Layer,
        options: &Options,
    ) -> Result<(), RegistryError> {
        let mut tries = 0;
        while part.has < part.size {
            let before = part.has;
            match self.fetch(part, layer, options).await {
                Ok(()) if part.has == part.size => break,
                Err(error) if !matches!(error, RegistryError::Unreachable { .. }) => {
                    return Err(error);
                }
                ended => {
                    tries = if part.has > before { 0 } else { tries + 1 };
                    if tries == TRIES {
                        let ended = ended.err();
                        return Err(ended.unwrap_or_else(|| {
                            self.unreachable("it sent less than it announced".into())
                        }));
                    }
                    tokio::time::sleep(Duration::from_millis(200 << tries)).await;
                }
            }
        }
        Ok(())
    }

    async fn fetch(
        &self,
        part: &mut Part,
        layer: &Layer,
        options: &Options,
    ) -> Result<(), RegistryError> {
        let name = self.at.to_string();
        let place = self.place_of_blobs();
        self.oci.store_auth_if_needed(place.resolve_registry(), &self.auth).await;
        let response =
            self.oci.pull_blob_stream_partial(&place, &layer.descriptor, part.has, None).await;
        let mut stream = match response.map_err(|error| self.explain(error, &name))? {
            BlobResponse::Full(stream) => {
                part.empty()?;
                stream
            }
            BlobResponse::Partial(stream) => stream,
        };
        while let Some(chunk) = stream.next().await {
            let Ok(chunk) = chunk else {
                // Whether what came is right, its digest says once it is whole.
                return match part.has == part.size {
                    true => Ok(()),
                    false => Err(self.unreachable("the transfer was cut".into())),
                };
            };
            let room = part.size - part.has;
            if chunk.len() as u64 > room {
                return Err(RegistryError::NoPlugin {
                    what: name,
                    problem: "its bundle has more bytes than were announced".into(),
                });
            }
            part.add(&chunk)?;
            if let Some(hears) = &options.on_progress {
                hears(Transfer { direction: Direction::Down, done: part.has, total: part.size });
            }
        }
        Ok(())
    }

    fn place_of_blobs(&self) -> oci_client::Reference {
        match self.at.which() {
            Which::Version(version) => self.tagged(version),
            Which::Digest(digest) => self.by_digest(*digest),
            // Where blobs are, no version is asked for.
            Which::Newest | Which::Wanted(_) => self.tagged(&semver::Version::new(0, 0, 0)),
        }
    }
}
