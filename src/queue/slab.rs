//! A shelf of numbered places: four octets name an entry, freed places are used again.

use std::ops::{Index, IndexMut};

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// Entries by number.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Entries in use.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Puts `entry` on the shelf. `None` once four thousand million are there.
    pub(super) fn insert(&mut self, entry: T) -> Option<u32> {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(entry);
            return Some(place);
        }
        let place = u32::try_from(self.places.len()).ok().filter(|place| *place < NONE)?;
        self.places.push(Some(entry));
        Some(place)
    }

    /// Takes an entry off. An empty shelf gives its memory back.
    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let entry = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        if self.len() == 0 {
            self.places = Vec::new();
            self.free = Vec::new();
        }
        Some(entry)
    }

    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.places.get(place as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// All entries with their numbers, in the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.places).filter_map(|(place, entry)| Some((place, entry.as_ref()?)))
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, place: u32) -> &T {
        let Some(entry) = self.get(place) else {
            unreachable!("a number is forgotten before its entry is taken off the shelf");
        };
        entry
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        let Some(entry) = self.get_mut(place) else {
            unreachable!("a number is forgotten before its entry is taken off the shelf");
        };
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_an_empty_shelf_is_small() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a').unwrap(), slab.insert('b').unwrap());
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.insert('c'), Some(a));
        assert_eq!(slab.iter().map(|(_, c)| *c).collect::<String>(), "cb");
        assert_eq!((slab.remove(a), slab.remove(b)), (Some('c'), Some('b')));
        assert_eq!((slab.len(), slab.places.capacity()), (0, 0));
    }
}
