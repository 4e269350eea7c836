//! The body of a response: decompressed as it arrives, and read no further than is kept.

use std::error::Error;
use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

/// Compressed bytes that are received beyond the decompressed ones that are kept: ends a stream that decompresses to nothing.
const COMPRESSED_SLACK: usize = 64 * 1024;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all, or in a way that is passed on as it is.
    Identity,
    /// By gzip.
    Gzip,
}

/// What is kept of a body.
pub(super) struct ReadBody {
    /// The first decompressed bytes.
    pub(super) kept: Bytes,
    /// The body was longer.
    pub(super) cut: bool,
}

/// The encoding that the headers of a response name.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    let named = headers.get(http::header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match named.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Encoding::Gzip,
        _ => Encoding::Identity,
    }
}

/// Reads a body up to `max` decompressed bytes. The rest is not even received: the connection is dropped.
pub(super) async fn read<B>(body: B, encoding: Encoding, max: usize) -> Result<ReadBody, String>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let received_max = match encoding {
        Encoding::Identity => usize::MAX,
        Encoding::Gzip => max.saturating_add(COMPRESSED_SLACK),
    };
    let received = Limited::new(body, received_max).into_data_stream().map_err(io::Error::other);
    let mut received = StreamReader::new(received);
    let mut kept = Vec::new();
    let end = match encoding {
        Encoding::Identity => read_up_to(received, max, &mut kept).await,
        Encoding::Gzip => match received.fill_buf().await {
            // A response without a body, as to HEAD, is not even an empty gzip stream.
            Ok([]) => Ok(()),
            Ok(_) => {
                let mut decoder = GzipDecoder::new(received);
                decoder.multiple_members(true);
                read_up_to(decoder, max, &mut kept).await
            }
            Err(error) => Err(error),
        },
    };
    let cut = match end {
        Ok(()) => kept.len() > max,
        Err(error) if inner::<LengthLimitError>(&error).is_some() => true,
        Err(error) => return Err(problem(&error)),
    };
    kept.truncate(max);
    Ok(ReadBody { kept: kept.into(), cut })
}

/// Reads one byte more than is kept, so that a longer body is recognised and never decompressed.
async fn read_up_to(reader: impl AsyncRead + Unpin, max: usize, kept: &mut Vec<u8>) -> io::Result<()> {
    reader.take((max as u64).saturating_add(1)).read_to_end(kept).await.map(drop)
}

fn inner<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn problem(error: &io::Error) -> String {
    if let Some(error) = inner::<hyper::Error>(error) {
        let last = std::iter::successors(error.source(), |cause| (*cause).source()).last();
        return format!("broke off: {}", last.map_or_else(|| error.to_string(), ToString::to_string));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "ended in the middle of a gzip stream".into(),
        _ => "is not valid gzip".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// What is kept of a body that arrives in such pieces, and whether it was cut.
    async fn read_in_pieces(
        encoding: Encoding,
        sent: &[u8],
        piece: usize,
        max: usize,
    ) -> Result<(Vec<u8>, bool), String> {
        let pieces: Vec<_> = sent.chunks(piece).map(Bytes::copy_from_slice).collect();
        let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let read = read(StreamBody::new(stream::iter(frames)), encoding, max).await?;
        Ok((read.kept.into(), read.cut))
    }

    #[tokio::test]
    async fn a_body_is_kept_up_to_its_bound() {
        for (encoding, sent) in [(Encoding::Identity, b"0123456789".to_vec()), (Encoding::Gzip, gzip(b"0123456789"))] {
            for piece in [3, 100] {
                let read = async |max| read_in_pieces(encoding, &sent, piece, max).await;
                assert_eq!(read(10).await, Ok((b"0123456789".to_vec(), false)));
                assert_eq!(read(9).await, Ok((b"012345678".to_vec(), true)));
            }
            assert_eq!(read_in_pieces(encoding, b"", 1, 0).await, Ok((Vec::new(), false)));
        }
        let members = [gzip(b"01234"), gzip(b"56789")].concat();
        assert_eq!(read_in_pieces(Encoding::Gzip, &members, 3, 10).await, Ok((b"0123456789".to_vec(), false)));
    }

    #[tokio::test]
    async fn no_more_is_decompressed_than_is_kept() {
        let sent = gzip(&vec![b'x'; 200_000]);
        let (kept, cut) = read_in_pieces(Encoding::Gzip, &sent, sent.len(), 1_000).await.unwrap();
        assert!(cut && kept.len() == 1_000 && kept.capacity() < 70_000, "{}", kept.capacity());
    }

    #[tokio::test]
    async fn a_stream_that_decompresses_to_nothing_is_cut_after_its_bound() {
        let member = gzip(b"");
        let few = member.repeat(COMPRESSED_SLACK / member.len());
        assert_eq!(read_in_pieces(Encoding::Gzip, &few, 1_000, 10).await, Ok((Vec::new(), false)));
        let many = member.repeat(COMPRESSED_SLACK / member.len() + 2);
        assert_eq!(read_in_pieces(Encoding::Gzip, &many, 1_000, 10).await, Ok((Vec::new(), true)));
    }

    #[tokio::test]
    async fn an_invalid_or_incomplete_gzip_stream_is_an_error() {
        let problem = async |sent: &[u8]| read_in_pieces(Encoding::Gzip, sent, 5, 100).await.unwrap_err();
        assert_eq!(problem(b"no gzip at all, really").await, "is not valid gzip");
        let sent = gzip(b"0123456789");
        assert_eq!(problem(&sent[..sent.len() - 6]).await, "ended in the middle of a gzip stream");
        assert_eq!(problem(&sent[..3]).await, "ended in the middle of a gzip stream");
    }
}
