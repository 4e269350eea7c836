//! Message properties as AMQP 0-9-1 encodes them, parsed only as far as needed to know whether the client library takes them.

/// `basic.deliver`: class and method.
const DELIVER: [u8; 4] = [0, 60, 0, 60];
/// Class, weight, size of the body, and the flags that say which properties follow.
const FIXED: usize = 14;
/// The flag of the headers.
const HEADERS: u16 = 1 << 13;
/// Levels of nested tables and lists in headers.
pub(super) const DEPTH_MAX: usize = 32;

/// How a property is encoded.
enum Encoding {
    Text,
    Table,
    Bytes(usize),
}

/// Every property, in the order of its flag, from the highest.
const PROPERTIES: [(&str, Encoding); 14] = [
    ("content_type", Encoding::Text),
    ("content_encoding", Encoding::Text),
    ("headers", Encoding::Table),
    ("delivery_mode", Encoding::Bytes(1)),
    ("priority", Encoding::Bytes(1)),
    ("correlation_id", Encoding::Text),
    ("reply_to", Encoding::Text),
    ("expiration", Encoding::Text),
    ("message_id", Encoding::Text),
    ("timestamp", Encoding::Bytes(8)),
    ("type", Encoding::Text),
    ("user_id", Encoding::Text),
    ("app_id", Encoding::Text),
    ("cluster_id", Encoding::Text),
];

/// Reads bytes from the left; `None` where there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }
}

/// Why headers cannot be read.
enum TableError {
    Malformed,
    NotText,
    TooDeep,
}

impl TableError {
    fn text(&self) -> &'static str {
        match self {
            TableError::Malformed => "the headers cannot be read",
            TableError::NotText => "the name of a header is not readable text",
            TableError::TooDeep => "the headers are nested too deeply",
        }
    }
}

/// The payload with every text made readable and all headers replaced by the header `mark`, which holds the problem. `None` if there is
/// no problem, or if the payload is not a list of properties.
pub(super) fn rewrite_properties(payload: &[u8], mark: &str) -> Option<Vec<u8>> {
    let (fixed, properties) = payload.split_at_checked(FIXED)?;
    let mut properties = Reader(properties);
    let flags = u16::from_be_bytes(fixed.get(FIXED - 2..FIXED)?.try_into().ok()?);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut problem: Option<String> = None;
    for (at, (name, encoding)) in (0..).zip(&PROPERTIES) {
        let flag = 1 << (15 - at);
        if flags & flag == 0 {
            continue;
        }
        let written = if flag > HEADERS { &mut before } else { &mut after };
        match encoding {
            Encoding::Text => {
                let text = properties.short()?;
                if !is_readable(text) {
                    problem.get_or_insert_with(|| format!("the property `{name}` is not readable text"));
                }
                written.push(u8::try_from(text.len()).ok()?);
                written.extend(legible(text));
            }
            Encoding::Table => {
                if let Err(error) = table(properties.long()?, DEPTH_MAX) {
                    problem.get_or_insert_with(|| error.text().to_owned());
                }
            }
            Encoding::Bytes(count) => written.extend(properties.take(*count)?),
        }
    }
    let problem = problem?;
    let entry = [&[u8::try_from(mark.len()).ok()?][..], mark.as_bytes(), b"S", &long(problem.as_bytes())?].concat();
    Some([&fixed[..FIXED - 2], &(flags | HEADERS).to_be_bytes(), &before, &long(&entry)?, &after].concat())
}

/// [`rewrite_properties`] for fuzzing.
#[doc(hidden)]
pub fn mended_properties(payload: &[u8]) -> Option<Vec<u8>> {
    rewrite_properties(payload, "mended")
}

/// The payload with exchange and routing key made readable. `None` if they are readable, or if it is not a delivery.
pub(super) fn rewrite_delivery(payload: &[u8]) -> Option<Vec<u8>> {
    let mut arguments = Reader(payload.strip_prefix(&DELIVER)?);
    // The consumer tag, which is ours; then the delivery tag and the redelivered flag.
    arguments.short()?;
    arguments.take(9)?;
    let names = arguments.0;
    let (exchange, routing_key) = (arguments.short()?, arguments.short()?);
    if [exchange, routing_key].iter().all(|name| is_readable(name)) {
        return None;
    }
    let before = &payload[..payload.len() - names.len()];
    Some([before, &names[..1], &legible(exchange), &names[1 + exchange.len()..][..1], &legible(routing_key)].concat())
}

fn long(bytes: &[u8]) -> Option<Vec<u8>> {
    Some([&u32::try_from(bytes.len()).ok()?.to_be_bytes(), bytes].concat())
}

/// Whether a text can be passed on: UTF-8, without the code points that Unicode assigns to no character, ever.
fn is_readable(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| !text.contains(is_noncharacter))
}

fn is_noncharacter(letter: char) -> bool {
    let code = u32::from(letter);
    code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

/// The same number of bytes, with a question mark for each byte that is not readable.
fn legible(text: &[u8]) -> Vec<u8> {
    let mut legible = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match is_noncharacter(letter) {
                true => legible.extend(std::iter::repeat_n(b'?', letter.len_utf8())),
                false => legible.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        legible.extend(chunk.invalid().iter().map(|_| b'?'));
    }
    legible
}

fn table(bytes: &[u8], depth: usize) -> Result<(), TableError> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let name = reader.short().ok_or(TableError::Malformed)?;
        is_readable(name).then_some(()).ok_or(TableError::NotText)?;
        value(&mut reader, depth)?;
    }
    Ok(())
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<(), TableError> {
    let inner = |bytes: Option<_>| {
        bytes.filter(|_| depth > 0).ok_or(if depth > 0 { TableError::Malformed } else { TableError::TooDeep })
    };
    let read = match reader.byte().ok_or(TableError::Malformed)? {
        b't' | b'b' | b'B' => reader.take(1),
        b's' | b'u' | b'U' => reader.take(2),
        b'I' | b'i' | b'f' => reader.take(4),
        b'D' => reader.take(5),
        b'L' | b'l' | b'd' | b'T' => reader.take(8),
        b'V' => reader.take(0),
        b'S' | b'x' => reader.long(),
        b'F' => return table(inner(reader.long())?, depth - 1),
        b'A' => {
            let mut items = Reader(inner(reader.long())?);
            while !items.0.is_empty() {
                value(&mut items, depth - 1)?;
            }
            return Ok(());
        }
        _ => None,
    };
    read.map(drop).ok_or(TableError::Malformed)
}
