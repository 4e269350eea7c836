//! One id for a message, however the library of its sender spells it. Pure.
//!
//! The message id of AMQP 1.0 is a text, a UUID, a number or bytes. RabbitMQ passes a UUID on as `urn:uuid:…`, a number as its
//! digits, and bytes as a header.

use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

/// The header with a message id that does not fit into the property.
const HEADER: &str = "x-message-id";
/// Before a UUID that was sent as one.
const URN: &str = "urn:uuid:";

/// The id of a message: its property, or the header of bytes. A UUID is the text that libraries write; bytes are the text they hold, or
/// `binary:` and their digits.
pub(super) fn message_id(property: Option<&str>, headers: Option<&FieldTable>) -> Option<String> {
    property.map(ToOwned::to_owned).or_else(|| bytes(headers?.inner().get(HEADER)?).map(text)).map(plain)
}

fn bytes(value: &AMQPValue) -> Option<&[u8]> {
    match value {
        AMQPValue::ByteArray(bytes) => Some(bytes.as_slice()),
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ShortString(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Void => None,
    }
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => format!("binary:{}", hexadecimal(bytes)),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn plain(id: String) -> String {
    match id.strip_prefix(URN).map(Uuid::try_parse) {
        Some(Ok(uuid)) => uuid.hyphenated().to_string(),
        Some(Err(_)) | None => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: AMQPValue) -> FieldTable {
        let mut table = FieldTable::default();
        table.insert(HEADER.into(), value);
        table
    }

    #[test]
    fn a_uuid_is_one_id_as_a_uuid_and_as_a_text() {
        let uuid = "2d726b8a-e1d9-5e9a-8afe-8ad6ae145452";
        for spelled in [uuid.to_owned(), format!("urn:uuid:{uuid}"), format!("urn:uuid:{}", uuid.to_uppercase())] {
            assert_eq!(message_id(Some(&spelled), None).as_deref(), Some(uuid));
        }
        assert_eq!(message_id(Some("urn:uuid:order-17"), None).as_deref(), Some("urn:uuid:order-17"));
    }

    #[test]
    fn bytes_are_an_id() {
        let id = |bytes: &[u8]| message_id(None, Some(&header(AMQPValue::ByteArray(bytes.to_vec().into()))));
        assert_eq!(id(b"order-17").as_deref(), Some("order-17"));
        assert_eq!(id(&[0xff, 0x00]).as_deref(), Some("binary:ff00"));
        assert_eq!(id(b"a\0").as_deref(), Some("binary:6100"));
        let long = header(AMQPValue::LongString("order-17".into()));
        assert_eq!(message_id(None, Some(&long)).as_deref(), Some("order-17"));
    }

    #[test]
    fn the_property_comes_first_and_other_headers_are_no_id() {
        let table = header(AMQPValue::LongInt(17));
        assert_eq!(message_id(Some("a"), Some(&table)).as_deref(), Some("a"));
        assert_eq!(message_id(None, Some(&table)), None);
        assert_eq!(message_id(None, None), None);
    }
}
