//! The printer and the parser of numbers.

/// The most bytes a number takes.
pub const MAX_LEN: usize = 24;

/// A printed number, on the stack.
#[derive(Clone, Copy)]
pub struct Printed {
    bytes: [u8; 32],
    len: u8,
}

impl Printed {
    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

fn printed(text: &str) -> Printed {
    let mut bytes = [0; 32];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    Printed {
        bytes,
        len: text.len() as u8,
    }
}

/// Prints an unsigned integer.
pub fn print_u64(value: u64) -> Printed {
    printed(itoa::Buffer::new().format(value))
}

/// Prints a signed integer.
pub fn print_i64(value: i64) -> Printed {
    printed(itoa::Buffer::new().format(value))
}

/// Prints a float so that it reads back bit for bit (NaN as NaN).
pub fn print_f64(value: f64) -> Printed {
    if value.is_nan() {
        printed("NaN")
    } else if value.is_infinite() {
        printed(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        printed(ryu::Buffer::new().format_finite(value))
    }
}
