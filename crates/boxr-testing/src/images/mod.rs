//! Images that tests make, and a registry that has them.

mod server;
mod uploads;

use std::io::Write;

use sha2::Digest as _;

pub use server::{Auth, Fault, Server};

/// `sha256:HEX` of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// Packs a tar stream.
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Self::Zstd => {
                ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
            }
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// A layer: its tar stream, and the blob it comes in.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The stream.
    pub tar: Vec<u8>,
    /// The blob.
    pub blob: Vec<u8>,
    /// How the one became the other.
    pub packing: Packing,
}

impl Layer {
    /// Packs a tar stream.
    pub fn new(tar: Vec<u8>, packing: Packing) -> Self {
        Self { blob: packing.pack(&tar), tar, packing }
    }

    /// A layer of a directory, which root owns.
    pub fn of_dir(dir: &std::path::Path, packing: Packing) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        builder.follow_symlinks(false);
        builder.mode(tar::HeaderMode::Deterministic);
        builder.append_dir_all("", dir).unwrap();
        Self::new(builder.into_inner().unwrap(), packing)
    }

    /// A layer of directories with their modes and owners.
    pub fn of_dirs(dirs: &[(&str, u32, u64)]) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, owner) in dirs {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(*owner);
            header.set_mtime(1_700_000_000);
            builder.append_data(&mut header, path, std::io::empty()).unwrap();
        }
        Self::new(builder.into_inner().unwrap(), Packing::Gzip)
    }

    /// A layer of regular files.
    pub fn of_files(files: &[(&str, &[u8])], packing: Packing) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, contents) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(1_700_000_000);
            builder.append_data(&mut header, path, *contents).unwrap();
        }
        Self::new(builder.into_inner().unwrap(), packing)
    }
}

/// Go's word for the processor of this machine.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An image: everything that a registry keeps of it.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Its configuration.
    pub config: Vec<u8>,
    /// Its manifest.
    pub manifest: Vec<u8>,
}

/// The media type of OCI's manifests.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of OCI's indexes.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Image {
    /// An image for `architecture` whose `config` is this JSON object.
    pub fn new(architecture: &str, config: &str, layers: Vec<Layer>) -> Self {
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| format!("\"{}\"", digest(&layer.tar))).collect();
        let config = format!(
            r#"{{"created":"2024-05-06T07:08:09Z","architecture":"{architecture}","os":"linux","config":{config},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        );
        let describe = |media_type: &str, bytes: &[u8]| {
            format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, digest(bytes), bytes.len())
        };
        let described: Vec<String> =
            layers.iter().map(|layer| describe(layer.packing.media_type(), &layer.blob)).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            describe("application/vnd.oci.image.config.v1+json", config.as_bytes()),
            described.join(",")
        );
        Self { layers, config: config.into_bytes(), manifest: manifest.into_bytes() }
    }

    /// Writes it as an OCI layout (OCI image specification, `image-layout.md`) with one tag.
    pub fn write_layout(&self, dir: &std::path::Path, tag: &str) {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let layers = self.layers.iter().map(|layer| &layer.blob);
        for bytes in layers.chain([&self.config, &self.manifest]) {
            std::fs::write(blobs.join(&digest(bytes)["sha256:".len()..]), bytes).unwrap();
        }
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let entry = format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}}}"#,
            self.digest(),
            self.manifest.len()
        );
        std::fs::write(dir.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#))
            .unwrap();
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

/// An index of images, each with its `linux/…` platform.
pub fn index(images: &[(&str, &Image)]) -> Vec<u8> {
    let entries: Vec<String> = images
        .iter()
        .map(|(architecture, image)| {
            format!(
                r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
                image.digest(),
                image.manifest.len()
            )
        })
        .collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(",")).into_bytes()
}
