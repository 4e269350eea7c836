//! The body of a response: unpacked as it comes, and never more of it than is kept.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Packed bytes beyond what is kept unpacked: a stream that unpacks to nothing ends here.
const PACKED_SLACK: usize = 64 * 1024;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not, or in a way that is left to whoever asked for it.
    Plain,
    /// By gzip.
    Gzip,
}

/// What is kept of a body.
pub(super) struct Read {
    pub(super) kept: Bytes,
    /// There was more.
    pub(super) cut: bool,
}

/// What a response says about its body.
pub(super) fn packing(headers: &HeaderMap) -> Packing {
    let said = headers.get(http::header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match said.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Packing::Gzip,
        _ => Packing::Plain,
    }
}

/// Reads a body up to `max` bytes. What is beyond is not even received: the connection is dropped.
pub(super) async fn read(mut body: Incoming, packing: Packing, max: usize) -> Result<Read, String> {
    let mut unpacker = Unpacker::new(packing, max);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("broke off: {}", last_cause(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if !unpacker.push(&data)? {
            return Ok(Read { kept: unpacker.kept().into(), cut: true });
        }
    }
    let whole = unpacker.finish()?;
    Ok(Read { kept: unpacker.kept().into(), cut: !whole })
}

fn last_cause(error: &hyper::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| (*cause).source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Takes packed bytes and keeps unpacked ones.
enum Unpacker {
    Plain(Kept),
    Gzip { decoder: Box<MultiGzDecoder<Kept>>, packed: usize, packed_max: usize },
}

impl Unpacker {
    fn new(packing: Packing, max: usize) -> Self {
        let kept = Kept { bytes: Vec::new(), max, full: false };
        match packing {
            Packing::Plain => Self::Plain(kept),
            Packing::Gzip => Self::Gzip {
                decoder: Box::new(MultiGzDecoder::new(kept)),
                packed: 0,
                packed_max: max.saturating_add(PACKED_SLACK),
            },
        }
    }

    /// False once there is more than is kept.
    fn push(&mut self, data: &[u8]) -> Result<bool, String> {
        match self {
            Self::Plain(kept) => Ok(kept.write_all(data).is_ok()),
            Self::Gzip { decoder, packed, packed_max } => {
                *packed += data.len();
                if *packed > *packed_max {
                    return Ok(false);
                }
                match decoder.write_all(data) {
                    Ok(()) => Ok(true),
                    Err(_) if decoder.get_ref().full => Ok(false),
                    Err(_) => Err("is not packed as it says".into()),
                }
            }
        }
    }

    /// False if the rest is more than is kept.
    fn finish(&mut self) -> Result<bool, String> {
        match self {
            Self::Plain(_) => Ok(true),
            // A response without a body, as to HEAD, is packed in nothing.
            Self::Gzip { packed: 0, .. } => Ok(true),
            Self::Gzip { decoder, .. } => match decoder.try_finish() {
                Ok(()) => Ok(true),
                Err(_) if decoder.get_ref().full => Ok(false),
                Err(_) => Err("broke off while it was unpacked".into()),
            },
        }
    }

    fn kept(self) -> Vec<u8> {
        match self {
            Self::Plain(kept) => kept.bytes,
            Self::Gzip { mut decoder, .. } => std::mem::take(&mut decoder.get_mut().bytes),
        }
    }
}

/// A writer that stops at its bound, so that a small piece that unpacks to much never does so in memory.
struct Kept {
    bytes: Vec<u8>,
    max: usize,
    full: bool,
}

impl Write for Kept {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = self.max - self.bytes.len();
        if room == 0 && !data.is_empty() {
            self.full = true;
            return Err(io::Error::other("full"));
        }
        let taken = data.len().min(room);
        self.bytes.extend_from_slice(&data[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// What is kept of a body that comes in such pieces, and whether it was cut.
    fn unpack(packing: Packing, packed: &[u8], piece: usize, max: usize) -> Result<(Vec<u8>, bool), String> {
        let mut unpacker = Unpacker::new(packing, max);
        for data in packed.chunks(piece) {
            if !unpacker.push(data)? {
                return Ok((unpacker.kept(), true));
            }
        }
        let whole = unpacker.finish()?;
        Ok((unpacker.kept(), !whole))
    }

    #[test]
    fn a_body_is_kept_up_to_its_bound() {
        assert_eq!(unpack(Packing::Plain, b"0123456789", 3, 10), Ok((b"0123456789".to_vec(), false)));
        assert_eq!(unpack(Packing::Plain, b"0123456789", 3, 9), Ok((b"012345678".to_vec(), true)));
        assert_eq!(unpack(Packing::Plain, b"", 1, 0), Ok((Vec::new(), false)));
        let packed = gzip(b"0123456789");
        assert_eq!(unpack(Packing::Gzip, &packed, 3, 10), Ok((b"0123456789".to_vec(), false)));
        assert_eq!(unpack(Packing::Gzip, &packed, 100, 9), Ok((b"012345678".to_vec(), true)));
        assert_eq!(unpack(Packing::Gzip, b"", 1, 9), Ok((Vec::new(), false)));
    }

    #[test]
    fn a_bomb_is_cut_before_it_goes_off() {
        let packed = gzip(&vec![0; 8 << 20]);
        assert!(packed.len() < 20_000);
        let (kept, cut) = unpack(Packing::Gzip, &packed, packed.len(), 1_000).unwrap();
        assert!(cut && kept.len() == 1_000 && kept.capacity() < 70_000, "{}", kept.capacity());
    }

    #[test]
    fn what_unpacks_to_nothing_for_ever_ends() {
        let empty = gzip(b"");
        let many = empty.repeat(100_000);
        assert_eq!(unpack(Packing::Gzip, &many, 1_000, 10), Ok((Vec::new(), true)));
    }

    #[test]
    fn what_is_not_packed_as_it_says_is_broken() {
        assert!(unpack(Packing::Gzip, b"no gzip at all, really", 5, 100).is_err());
        let packed = gzip(b"0123456789");
        assert!(unpack(Packing::Gzip, &packed[..packed.len() - 6], 5, 100).is_err());
    }
}
