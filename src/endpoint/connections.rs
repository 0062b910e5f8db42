//! Connections by number. A number is never used twice, so that an event that
//! was on its way to a connection of before does not reach the next one.

use super::connection::Connection;

/// Bits of a token that say which slot.
const INDEX_BITS: u32 = usize::BITS / 2;

/// A connection's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: usize,
    /// From 1 on: tokens below `1 << INDEX_BITS` belong to others.
    generation: usize,
}

impl Key {
    pub(super) fn token(self) -> mio::Token {
        mio::Token(self.generation << INDEX_BITS | self.index)
    }

    /// `None`: not a connection's.
    pub(super) fn of(token: mio::Token) -> Option<Self> {
        let generation = token.0 >> INDEX_BITS;
        let index = token.0 & ((1 << INDEX_BITS) - 1);
        (generation > 0).then_some(Self { index, generation })
    }
}

struct Slot {
    generation: usize,
    connection: Option<Connection>,
    /// Kept from one connection to the next.
    buffer: Vec<u8>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts in the connection that is made of a number and an empty buffer.
    pub(super) fn insert(&mut self, make: impl FnOnce(Vec<u8>) -> Connection) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
                buffer: Vec::new(),
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        // Half the bits of a token last for 2^32 connections in one slot.
        slot.generation = (slot.generation + 1) & ((1 << INDEX_BITS) - 1);
        slot.generation = slot.generation.max(1);
        slot.connection = Some(make(std::mem::take(&mut slot.buffer)));
        Key {
            index,
            generation: slot.generation,
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(key.index)?;
        slot.connection
            .as_mut()
            .filter(|_| slot.generation == key.generation)
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, key: Key) -> Option<Connection> {
        self.get_mut(key)?;
        self.free.push(key.index);
        self.slots[key.index].connection.take()
    }

    /// Gives back the buffer of the connection that had that number.
    pub(super) fn recycle(&mut self, key: Key, mut buffer: Vec<u8>) {
        buffer.clear();
        self.slots[key.index].buffer = buffer;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = Key {
                index,
                generation: slot.generation,
            };
            slot.connection.as_ref().map(|connection| (key, connection))
        })
    }
}
