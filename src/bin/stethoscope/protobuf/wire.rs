//! The wire format of protobuf: numbers, lengths and the fields of a message.

/// The value of a field.
enum WireValue<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
    Other,
}

pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(match bytes.len() {
        0..10 => "the page ends within a number".to_owned(),
        _ => "a number has more than 10 bytes".to_owned(),
    })
}

pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], String> {
    let split = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.split_at_checked(len));
    let (taken, rest) = split.ok_or_else(|| {
        format!(
            "expected {len} more bytes, found {}: the page is cut off",
            bytes.len()
        )
    })?;
    *bytes = rest;
    Ok(taken)
}

pub(super) fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let before = bytes.len();
    let len = varint(bytes)?;
    if before - bytes.len() > 5 {
        return Err("the length of a message has more than 5 bytes".to_owned());
    }
    take(bytes, len)
}

/// Calls `each` with the number and the value of each field of a message.
fn fields<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u32, WireValue<'a>) -> Result<(), String>,
) -> Result<(), String> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = u32::try_from(key >> 3).map_err(|_| "a field number is too great")?;
        let value = match key & 7 {
            0 => WireValue::Varint(varint(&mut message)?),
            1 => {
                let bytes = take(&mut message, 8)?.try_into().expect("8 bytes");
                WireValue::Double(f64::from_le_bytes(bytes))
            }
            2 => {
                let len = varint(&mut message)?;
                WireValue::Bytes(take(&mut message, len)?)
            }
            5 => {
                take(&mut message, 4)?;
                WireValue::Other
            }
            other => return Err(format!("field {field} has the wire type {other}")),
        };
        each(field, value)?;
    }
    Ok(())
}

/// The error of a field whose value is of another type.
fn mistyped(field: u32, expected: &str) -> String {
    format!("field {field} is not a {expected}")
}

/// Returns true if a message is one of fields, has a name, and has the fields of a
/// `MetricFamily` with their types, if it has them.
pub(super) fn is_family(message: &[u8]) -> bool {
    let mut has_name = false;
    let read = fields(message, |field, value| {
        has_name |= field == 1;
        match (field, value) {
            (1 | 2 | 4 | 5, WireValue::Bytes(_)) | (3, WireValue::Varint(_)) | (6.., _) => Ok(()),
            _ => Err(mistyped(field, "value of a family")),
        }
    });
    has_name && read.is_ok()
}

/// Calls `read` with each value of one field.
fn each<'a>(
    message: &'a [u8],
    wanted: u32,
    mut read: impl FnMut(WireValue<'a>) -> Result<(), String>,
) -> Result<(), String> {
    fields(message, |field, value| match field == wanted {
        true => read(value),
        false => Ok(()),
    })
}

/// Returns the last value of one field. `read` returns `None` for values of another type.
fn last<'a, T>(
    message: &'a [u8],
    wanted: u32,
    expected: &str,
    read: impl Fn(WireValue<'a>) -> Option<T>,
) -> Result<Option<T>, String> {
    let mut found = None;
    each(message, wanted, |value| {
        found = Some(read(value).ok_or_else(|| mistyped(wanted, expected))?);
        Ok(())
    })?;
    Ok(found)
}

/// Returns the messages in a repeated field.
pub(super) fn messages(message: &[u8], wanted: u32) -> Result<Vec<&[u8]>, String> {
    let mut found = Vec::new();
    each(message, wanted, |value| match value {
        WireValue::Bytes(bytes) => {
            found.push(bytes);
            Ok(())
        }
        _ => Err(mistyped(wanted, "message")),
    })?;
    Ok(found)
}

/// Returns a text, empty if it is left out.
pub(super) fn string(message: &[u8], wanted: u32) -> Result<String, String> {
    match messages(message, wanted)?.pop() {
        None => Ok(String::new()),
        Some(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| format!("field {wanted} is not UTF-8: servers refuse the page")),
    }
}

/// Returns the last value of a numeric field.
pub(super) fn number(message: &[u8], wanted: u32) -> Result<Option<u64>, String> {
    last(message, wanted, "integer", |value| match value {
        WireValue::Varint(number) => Some(number),
        _ => None,
    })
}

/// Returns the last value of a field of doubles.
pub(super) fn double(message: &[u8], wanted: u32) -> Result<Option<f64>, String> {
    last(message, wanted, "double", |value| match value {
        WireValue::Double(number) => Some(number),
        _ => None,
    })
}

/// Returns the numbers of a repeated field, packed or not.
pub(super) fn numbers(message: &[u8], wanted: u32) -> Result<Vec<u64>, String> {
    let mut found = Vec::new();
    each(message, wanted, |value| match value {
        WireValue::Varint(number) => {
            found.push(number);
            Ok(())
        }
        WireValue::Bytes(mut packed) => {
            while !packed.is_empty() {
                found.push(varint(&mut packed)?);
            }
            Ok(())
        }
        _ => Err(mistyped(wanted, "list of integers")),
    })?;
    Ok(found)
}

/// Returns the values of a repeated field of doubles, packed or not.
pub(super) fn doubles(message: &[u8], wanted: u32) -> Result<Vec<f64>, String> {
    let mut found = Vec::new();
    each(message, wanted, |value| {
        match value {
            WireValue::Double(number) => found.push(number),
            WireValue::Bytes(packed) if packed.len() % 8 == 0 => {
                let (numbers, _) = packed.as_chunks::<8>();
                found.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            _ => return Err(mistyped(wanted, "list of doubles")),
        }
        Ok(())
    })?;
    Ok(found)
}
