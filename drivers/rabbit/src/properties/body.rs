//! The body of a message, and its compression.

use std::{borrow::Cow, io::Read};

use amq_protocol::types::AMQPValue;
use bytes::Bytes;
use bzip2::read::{BzDecoder, BzEncoder};
use flate2::{
    Compression,
    read::{ZlibDecoder, ZlibEncoder},
};
use oxlo_wire::{charset::to_utf8, envelope::Poison};

use super::JSON;
use crate::stream::received::Received;

/// kombu's name of gzip; the content is a zlib stream (RFC 1950).
const KOMBU_GZIP: &str = "application/x-gzip";
const KOMBU_BZIP2: &str = "application/x-bz2";

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionAlgorithm {
    /// zlib: kombu's `gzip` and `zlib`.
    Zlib,
    /// bzip2.
    Bzip2,
}

impl CompressionAlgorithm {
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Zlib => KOMBU_GZIP,
            Self::Bzip2 => KOMBU_BZIP2,
        }
    }
}

/// Maximum ratio of the decompressed to the compressed size. JSON of distinct records compresses to a hundredth at
/// best.
const MAX_RATIO: usize = 200;
/// Bytes that may be decompressed whatever the ratio.
pub(super) const UNCHECKED_SIZE: usize = 1 << 20;

/// The maximum decompressed size of a body of `compressed` bytes.
fn max_decompressed(compressed: usize) -> usize {
    compressed.saturating_mul(MAX_RATIO).max(UNCHECKED_SIZE)
}

/// Compresses a body, unless an oxlo receiver would refuse it for its ratio; returns the body with its compression.
pub(crate) fn compress_if_accepted(
    body: Vec<u8>,
    compression: Option<CompressionAlgorithm>,
) -> (Vec<u8>, Option<CompressionAlgorithm>) {
    let Some(algorithm) = compression else { return (body, None) };
    let compressed = compress(&body, algorithm);
    if body.len() > max_decompressed(compressed.len()) { (body, None) } else { (compressed, Some(algorithm)) }
}

/// Compresses a body as kombu does.
pub(crate) fn compress(body: &[u8], algorithm: CompressionAlgorithm) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(body.len() / 2);
    // Infallible: it reads from memory and writes to memory.
    let _ = match algorithm {
        CompressionAlgorithm::Zlib => ZlibEncoder::new(body, Compression::default()).read_to_end(&mut compressed),
        CompressionAlgorithm::Bzip2 => BzEncoder::new(body, bzip2::Compression::best()).read_to_end(&mut compressed),
    };
    compressed
}

/// The JSON text of a received message, decompressed.
///
/// # Errors
///
/// [`Poison`] if its properties describe something else, if it exceeds `limit` bytes, compressed or not, or if it
/// decompresses to more than 1 MiB and more than 200 times its size.
pub(crate) fn body(properties: &Received, data: Bytes, limit: usize) -> Result<Bytes, Poison> {
    let content_type = properties.content_type();
    if content_type != Some(JSON) {
        let found = content_type.map_or_else(|| "none".to_owned(), |found| format!("`{}`", truncated(found)));
        return Err(Poison::Properties { reason: format!("content type {found} is not {JSON}") });
    }
    if data.len() > limit {
        return Err(Poison::TooLarge { size: data.len(), limit });
    }
    match compression(properties) {
        None => match to_utf8(&data, properties.content_encoding()) {
            Cow::Owned(text) => Ok(text.into()),
            Cow::Borrowed(_) => Ok(data),
        },
        Some(kind) if kind == KOMBU_GZIP => decompress(ZlibDecoder::new(data.as_ref()), "zlib", data.len(), limit),
        Some(kind) if kind == KOMBU_BZIP2 => decompress(BzDecoder::new(data.as_ref()), "bzip2", data.len(), limit),
        Some(kind) => {
            Err(Poison::Properties { reason: format!("compression `{}` is not supported", truncated(&kind)) })
        }
    }
}

fn compression(properties: &Received) -> Option<String> {
    match properties.headers()?.inner().get("compression")? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn decompress(compressed: impl Read, kind: &str, size: usize, limit: usize) -> Result<Bytes, Poison> {
    let max = max_decompressed(size).min(limit);
    let mut text = Vec::with_capacity(size.saturating_mul(3).min(max));
    // One byte beyond the limit distinguishes a body that is too large from one that just fits.
    match compressed.take(max as u64 + 1).read_to_end(&mut text) {
        Ok(bytes) if bytes > limit => Err(Poison::TooLarge { size: bytes, limit }),
        Ok(bytes) if bytes > max => Err(Poison::Inflates { packed: size, limit: max }),
        Ok(_) => Ok(text.into()),
        Err(_) => Err(Poison::Properties {
            reason: format!("cannot decompress the body as {kind}, which its header `compression` names"),
        }),
    }
}

fn truncated(text: &str) -> String {
    text.chars().take(64).collect()
}
