//! Rewrites incoming messages that are more than the client library takes. Pure: bytes in, bytes out.
//!
//! RabbitMQ forwards the properties and headers of a message as they are. Some messages are more than the client library takes. Here
//! such a message gets readable properties and a mark, so that it becomes a dead letter like any other that cannot be handled.
//!
//! Written by hand until lapin passes such a message on as an error.

use super::properties;

/// The header that says why a message's properties could not be read. It replaces all headers.
pub(in crate::broker) const UNREADABLE: &str = "x-leveret-unreadable";

/// Type, channel and size of a frame.
const HEAD: usize = 7;
/// The type of a method frame, such as a delivery with its routing key.
const METHOD: u8 = 1;
/// The type of a frame with a message's properties.
const PROPERTIES: u8 = 2;
/// More than is ever negotiated: the library itself refuses a larger frame.
const FRAME_MAX: usize = 1024 * 1024;

/// The state of a stream of frames that arrives in pieces.
#[derive(Default)]
pub(super) struct Sieve {
    /// The beginning of a frame, held until there is enough of it to check.
    held: Vec<u8>,
    /// Bytes of the current frame that are passed on unchecked.
    pass: usize,
}

impl Sieve {
    /// Takes the bytes that were read, and appends those that can be passed on.
    pub(super) fn feed(&mut self, mut read: &[u8], out: &mut Vec<u8>) {
        while !read.is_empty() {
            if self.pass > 0 {
                self.pass -= move_some(self.pass, &mut read, out);
                continue;
            }
            move_some(self.missing(), &mut read, &mut self.held);
            if self.missing() > 0 {
                continue;
            }
            if self.is_checked() {
                out.extend(readable(&self.held).as_ref().unwrap_or(&self.held));
            } else {
                out.extend(&self.held);
                self.pass = self.size() - HEAD;
            }
            self.held.clear();
        }
    }

    /// Bytes still needed before the frame can be checked or passed on.
    fn missing(&self) -> usize {
        let whole = if self.held.len() < HEAD || !self.is_checked() { HEAD } else { self.size() };
        whole.saturating_sub(self.held.len())
    }

    fn is_checked(&self) -> bool {
        matches!(self.held[0], METHOD | PROPERTIES) && self.size() <= FRAME_MAX
    }

    /// Bytes of the whole frame, its end byte included.
    fn size(&self) -> usize {
        let size = u32::from_be_bytes([self.held[3], self.held[4], self.held[5], self.held[6]]);
        usize::try_from(size).unwrap_or(usize::MAX).saturating_add(HEAD + 1)
    }
}

/// Moves at most `max` bytes; returns their number.
fn move_some(max: usize, from: &mut &[u8], to: &mut Vec<u8>) -> usize {
    let (moved, rest) = from.split_at(max.min(from.len()));
    to.extend(moved);
    *from = rest;
    moved.len()
}

/// The frame with readable texts; `None` if it is readable as it is.
fn readable(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at_checked(HEAD)?;
    let (end, payload) = payload.split_last()?;
    let rewritten = match head[0] {
        METHOD => properties::rewrite_delivery(payload)?,
        _ => properties::rewrite_properties(payload, UNREADABLE)?,
    };
    let size = u32::try_from(rewritten.len()).ok()?;
    Some([&head[..3], &size.to_be_bytes(), &rewritten, &[*end]].concat())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::properties::DEPTH_MAX;
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap();
        [&[kind, 0, 1][..], &size.to_be_bytes(), payload, &[0xce]].concat()
    }

    /// A body of 5 bytes, with headers and a message id.
    fn properties(table: &[u8], message_id: &[u8]) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        payload.extend((1u16 << 13 | 1 << 7).to_be_bytes());
        payload.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
        payload.extend(table);
        payload.push(u8::try_from(message_id.len()).unwrap());
        payload.extend(message_id);
        frame(2, &payload)
    }

    fn sift(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut sieve, mut out) = (Sieve::default(), Vec::new());
        bytes.chunks(piece).for_each(|piece| sieve.feed(piece, &mut out));
        out
    }

    fn text(name: &[u8], value: &[u8]) -> Vec<u8> {
        let (size, length) = (u8::try_from(name.len()).unwrap(), u32::try_from(value.len()).unwrap());
        [&[size], name, b"S", &length.to_be_bytes(), value].concat()
    }

    fn nested(levels: usize) -> Vec<u8> {
        (0..levels).fold(Vec::new(), |inner, _| {
            [b"\x01aF", &u32::try_from(inner.len()).unwrap().to_be_bytes()[..], &inner].concat()
        })
    }

    #[test]
    fn a_readable_frame_passes_unchanged_in_pieces_of_any_size() {
        let good = properties(&[text(b"key", b"\xff is a value"), nested(DEPTH_MAX)].concat(), "ä".as_bytes());
        let stream = [frame(1, b"method"), good, frame(3, b"\xff\x02\x00body"), frame(8, b"")].concat();
        for piece in [1, 2, 7, 8, 13, stream.len()] {
            assert_eq!(sift(&stream, piece), stream, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_unreadable_message_is_marked_and_those_around_it_are_not() {
        let good = properties(b"", b"good");
        let odd = "a\u{ffff}b".as_bytes();
        let cases = [
            (properties(b"", odd), "the property `message_id` is not readable text", &b"a???b"[..]),
            (properties(&text(odd, b""), b"id"), "the name of a header is not readable text", b"id"),
            (properties(&nested(DEPTH_MAX + 1), b"id"), "the headers are nested too deeply", b"id"),
        ];
        for (bad, problem, message_id) in cases {
            let expected = properties(&text(UNREADABLE.as_bytes(), problem.as_bytes()), message_id);
            let (stream, expected) = ([&good[..], &bad, &good].concat(), [&good[..], &expected, &good].concat());
            for piece in [1, 9, stream.len()] {
                assert_eq!(sift(&stream, piece), expected, "{problem}, in pieces of {piece}");
            }
        }
    }

    fn deliver(key: &[u8]) -> Vec<u8> {
        let fixed = [&[0, 60, 0, 60][..], b"\x03tag", &[0; 9], b"\x01x"].concat();
        frame(1, &[&fixed, &[u8::try_from(key.len()).unwrap()][..], key].concat())
    }

    #[test]
    fn an_unreadable_routing_key_is_made_readable() {
        assert_eq!(sift(&deliver("start.\u{ffff}".as_bytes()), 5), deliver(b"start.???"));
        assert_eq!(sift(&deliver("start.ä".as_bytes()), 5), deliver("start.ä".as_bytes()));
    }

    #[test]
    fn what_is_no_message_is_left_to_the_library() {
        for other in [frame(2, b""), frame(1, &[0, 10, 0, 10]), b"AMQP\x00\x00\x09\x01".to_vec()] {
            assert_eq!(sift(&other, 3), other);
        }
    }

    proptest! {
        #[test]
        fn what_has_passed_is_readable(id in vec(any::<u8>(), 0..9), table in vec(any::<u8>(), 0..12), key in vec(any::<u8>(), 0..9)) {
            for sent in [properties(b"", &id), properties(&text(&id, b""), b"id"), properties(&table, b"id"), deliver(&key)] {
                let passed = sift(&sent, 7);
                prop_assert_eq!(&sift(&passed, 7), &passed, "it passes again as it is");
            }
            let passed = sift(&properties(b"", &id), 7);
            prop_assert!(std::str::from_utf8(&passed[passed.len() - 1 - id.len()..passed.len() - 1]).is_ok());
            let passed = sift(&deliver(&key), 7);
            prop_assert!(std::str::from_utf8(&passed[passed.len() - 1 - key.len()..passed.len() - 1]).is_ok());
        }
    }
}
