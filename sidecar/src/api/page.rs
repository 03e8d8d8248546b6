//! Long lists in pieces, while they change.
//!
//! A list is ordered by a number and then by an identity, highest number first. A cursor is the place of the last
//! entry that was given; the next piece begins behind that place, whether or not the entry is still there. So an
//! entry that keeps its place is given exactly once however much comes and goes around it. Every text of 48
//! hexadecimal digits is a place: there is nothing in a cursor to get wrong or to trust.

use super::error::ApiError;

/// Entries given when no limit is asked for, and at most.
pub(super) const DEFAULT_LIMIT: usize = 100;
pub(super) const MAX_LIMIT: usize = 10_000;
/// Digits of a cursor.
const CURSOR_DIGITS: usize = 48;

/// A place in an ordered list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// What the list is ordered by.
    pub(super) rank: u64,
    /// Tells entries of the same rank apart.
    pub(super) id: u128,
}

impl Place {
    /// The text that stands for this place.
    pub(super) fn cursor(self) -> String {
        format!("{:016x}{:032x}", self.rank, self.id)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == CURSOR_DIGITS
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits {
            return None;
        }
        let (rank, id) = text.split_at_checked(16)?;
        Some(Self {
            rank: u64::from_str_radix(rank, 16).ok()?,
            id: u128::from_str_radix(id, 16).ok()?,
        })
    }
}

/// Which piece of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Most entries.
    pub(super) limit: usize,
    /// Entries behind this place only.
    pub(super) after: Option<Place>,
}

impl Page {
    /// Checks what was asked for.
    pub(super) fn new(limit: Option<usize>, cursor: Option<&str>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            let reason = format!("limit is {limit}, expected 1 to {MAX_LIMIT}");
            return Err(ApiError::Parameter(reason));
        }
        let after = match cursor {
            None => None,
            Some(text) => Some(Place::parse(text).ok_or_else(|| {
                ApiError::Parameter(
                    "cursor is none of this API, expected the `next` of an answer".to_owned(),
                )
            })?),
        };
        Ok(Self { limit, after })
    }

    /// Whether an entry at `place` lies behind what was given before.
    fn wants(&self, place: Place) -> bool {
        self.after.is_none_or(|after| place < after)
    }
}

/// One piece of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<T> {
    pub(super) entries: Vec<T>,
    /// Entries that match, in all pieces together.
    pub(super) total: u64,
    /// Where the next piece begins; none when there is none.
    pub(super) next: Option<String>,
}

impl<T> Piece<T> {
    /// Cuts a piece out of entries that come highest place first.
    pub(super) fn cut(entries: impl Iterator<Item = (Place, T)>, page: Page) -> Self {
        let mut piece = Self {
            entries: Vec::new(),
            total: 0,
            next: None,
        };
        let mut last = None;
        for (place, entry) in entries {
            piece.total += 1;
            if !page.wants(place) {
                continue;
            }
            if piece.entries.len() < page.limit {
                piece.entries.push(entry);
                last = Some(place);
            } else if piece.next.is_none() {
                piece.next = last.map(Place::cursor);
            }
        }
        piece
    }

    /// The same piece with other entries.
    pub(super) fn map<U>(self, change: impl FnMut(T) -> U) -> Piece<U> {
        Piece {
            entries: self.entries.into_iter().map(change).collect(),
            total: self.total,
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rank: u64, id: u128) -> Place {
        Place { rank, id }
    }

    fn page(limit: usize, cursor: Option<&str>) -> Page {
        Page::new(Some(limit), cursor).unwrap()
    }

    #[test]
    fn a_cursor_stands_for_its_place_and_every_text_of_48_digits_is_one() {
        for place in [place(0, 0), place(u64::MAX, u128::MAX), place(7, 1 << 100)] {
            assert_eq!(Place::parse(&place.cursor()), Some(place));
        }
        for text in ["", "0", &"f".repeat(47), &"F".repeat(48), &"é".repeat(24)] {
            assert!(Page::new(None, Some(text)).is_err(), "{text}");
        }
        assert!(Page::new(None, Some(&"f".repeat(48))).is_ok());
    }

    #[test]
    fn the_limits_of_a_page_are_checked() {
        assert_eq!(Page::new(None, None).unwrap().limit, DEFAULT_LIMIT);
        assert!(Page::new(Some(0), None).is_err());
        assert!(Page::new(Some(MAX_LIMIT), None).is_ok());
        assert!(Page::new(Some(MAX_LIMIT + 1), None).is_err());
    }

    #[test]
    fn what_stays_is_given_once_whatever_comes_and_goes_between_two_pieces() {
        let mut entries: Vec<(Place, u64)> =
            (0..10).map(|id| (place(id / 2, id.into()), id)).collect();
        let mut given = Vec::new();
        let mut cursor: Option<String> = None;
        for round in 0.. {
            entries.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
            let piece = Piece::cut(entries.iter().copied(), page(3, cursor.as_deref()));
            given.extend(piece.entries);
            cursor = piece.next;
            if cursor.is_none() {
                break;
            }
            // One comes at the front, the last one given goes, one comes at the end.
            entries.push((place(100 + round, 1000), 1000 + round));
            let last = *given.last().unwrap();
            entries.retain(|(_, id)| *id != last);
        }
        let mut expected: Vec<u64> = (0..10).collect();
        expected.reverse();
        assert_eq!(given, expected);
    }

    #[test]
    fn the_last_piece_names_no_next_one_and_all_are_counted() {
        let list = || (0..4).rev().map(|id| (place(id, 0), id));
        let piece = Piece::cut(list(), page(4, None));
        assert_eq!((piece.total, piece.next), (4, None));
        let piece = Piece::cut(list(), page(3, None));
        assert_eq!((piece.total, piece.next.is_some()), (4, true));
    }
}
