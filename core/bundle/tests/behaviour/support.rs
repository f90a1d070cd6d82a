//! A small plugin to pack, and the format's outer layers made by hand.

use std::io::Write;

use sha2::Digest as _;
use vitral_abi::{Description, Example, Kind, Parameter, ParameterType, Setting, Value};
use vitral_bundle::{Bundle, BundleError, KeyPair, PackInput, SigningKey, SourceManifest, pack};

pub const LINUX: &str = "x86_64-unknown-linux-gnu";

pub fn description(version: &str) -> Description {
    Description {
        name: "window".into(),
        version: version.into(),
        summary: "Softmax attention in shifted local windows".into(),
        parameters: vec![Parameter {
            name: "size".into(),
            doc: "Side of a window, in patches.".into(),
            r#type: ParameterType::Integer { min: 1, max: 64 },
            default: Some(Value::Integer(7)),
        }],
        examples: vec![Example {
            title: "Small windows".into(),
            settings: vec![Setting { name: "size".into(), value: Value::Integer(4) }],
        }],
    }
}

pub fn input(version: &str) -> PackInput {
    let source = SourceManifest { license: Some("MIT".into()), ..SourceManifest::default() };
    PackInput::new(Kind::Attention, description(version), source)
        .wasm(b"\0asm".to_vec())
        .native(LINUX, "libvitral_window.so", b"\x7fELF".to_vec())
        .document("README.md", b"# Window\n".to_vec())
        .document("LICENSE-MIT", b"MIT\n".to_vec())
        .document("examples/small.ron", b"(size: 4)\n".to_vec())
}

pub fn packed(version: &str) -> Vec<u8> {
    pack(&input(version), None).unwrap()
}

pub fn open(bytes: &[u8]) -> Result<Bundle, BundleError> {
    Bundle::from_bytes("test.vitral", bytes)
}

pub fn keys() -> (SigningKey, KeyPair) {
    let pair = KeyPair::generate(None).unwrap();
    (SigningKey::parse("test.key", pair.secret_text(), None).unwrap(), pair)
}

/// The tar archive in a bundle.
pub fn unsealed(bundle: &[u8]) -> Vec<u8> {
    zstd::decode_all(bundle).unwrap()
}

/// A bundle with any bytes where its tar archive should be.
pub fn sealed(archive: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.set_pledged_src_size(Some(archive.len() as u64)).unwrap();
    encoder.write_all(archive).unwrap();
    sealed_frame(&encoder.finish().unwrap())
}

/// A bundle with any bytes where its compressed archive should be.
pub fn sealed_frame(frame: &[u8]) -> Vec<u8> {
    let seal = [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
    [frame, &seal, &sha2::Sha256::digest(frame)].concat()
}

/// The header of a regular file as a bundle has it.
pub fn header(name: &[u8], size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// An archive that is made entry by entry, right or wrong.
#[derive(Clone, Default)]
pub struct Archive(pub Vec<(tar::Header, Vec<u8>)>);

impl Archive {
    pub fn of(bundle: &Bundle) -> Self {
        let mut archive = Self::default();
        bundle.files().for_each(|(path, content)| archive.add(path, content));
        archive
    }

    pub fn add(&mut self, path: &str, content: &[u8]) {
        let header = header(path.as_bytes(), content.len() as u64);
        self.0.push((header, content.to_vec()));
    }

    /// Changes a header, and makes its checksum right again.
    pub fn change(&mut self, index: usize, change: impl FnOnce(&mut tar::Header)) {
        change(&mut self.0[index].0);
        self.0[index].0.set_cksum();
    }

    /// Changes a content, and the size in its header.
    pub fn replace(&mut self, path: &str, change: impl FnOnce(String) -> String) {
        let entry = self.0.iter_mut().find(|(header, _)| &*header.path_bytes() == path.as_bytes());
        let (header, content) = entry.unwrap();
        *content = change(String::from_utf8(content.clone()).unwrap()).into_bytes();
        header.set_size(content.len() as u64);
        header.set_cksum();
    }

    /// Makes the checksums those of the entries.
    pub fn sum(&mut self) {
        let mut text = String::new();
        for (header, content) in &self.0 {
            let path = String::from_utf8_lossy(&header.path_bytes()).into_owned();
            if !path.starts_with("SHA256SUMS") {
                let digest = vitral_bundle::Digest::of(content);
                text += &format!("{digest}  {path}\n");
            }
        }
        self.replace("SHA256SUMS", |_| text);
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (header, content) in &self.0 {
            archive.extend_from_slice(header.as_bytes());
            archive.extend_from_slice(content);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive.resize(archive.len() + 1024, 0);
        archive
    }

    pub fn bundle(&self) -> Vec<u8> {
        sealed(&self.tar())
    }
}
