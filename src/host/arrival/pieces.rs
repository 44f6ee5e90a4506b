//! Which pieces of a model's files are there, which are on their way, and which is to be fetched next: in the order of
//! the files, but from where somebody waits for bytes, so that a reader that jumps about is not kept waiting for all that
//! lies between.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Pieces are no smaller than this, but for the last of a file,
const LEAST_PIECE_BYTES: u64 = 1 << 20;
/// and no larger than this: what a cut connection may cost, and what is asked for at once.
const MOST_PIECE_BYTES: u64 = 8 << 20;
/// So many there are of a file whose pieces are neither.
const USUAL_PIECES: u64 = 32;

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The place of the file in the model.
    pub file: usize,
    /// The place of the piece in the file.
    pub index: usize,
    /// Its first byte.
    pub begin: u64,
    /// The byte after its last.
    pub end: u64,
    /// The first byte that is not there yet.
    pub from: u64,
}

/// How a server gives out a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Nobody has asked it yet.
    Unknown,
    /// Somebody asks it now, and others wait for what it says.
    Asked,
    /// Piece by piece, as asked.
    Ranges,
    /// Only from its begin to its end, by one request.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody fetches it; so many bytes of it are there.
    Missing(u64),
    /// On its way; so many bytes of it are there.
    Coming(u64),
    There,
}

/// Which pieces of a file are there, as a record keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct There {
    /// A `1` for each piece that is there, and a `0` for each other.
    pub whole: String,
    /// Of other pieces, their places and how many bytes from their begins are there.
    pub partial: Vec<(usize, u64)>,
}

#[derive(Clone, Debug)]
struct File {
    bytes: u64,
    piece_bytes: u64,
    serving: Serving,
    pieces: Vec<State>,
}

impl File {
    fn new(bytes: u64) -> Self {
        let piece_bytes = (bytes / USUAL_PIECES).next_power_of_two().clamp(LEAST_PIECE_BYTES, MOST_PIECE_BYTES);
        let n_pieces = bytes.div_ceil(piece_bytes) as usize;
        Self { bytes, piece_bytes, serving: Serving::Unknown, pieces: vec![State::Missing(0); n_pieces] }
    }

    fn range(&self, index: usize) -> Range<u64> {
        let begin = index as u64 * self.piece_bytes;
        begin..(begin + self.piece_bytes).min(self.bytes)
    }

    /// The pieces that hold bytes of a range.
    fn holding(&self, range: &Range<u64>) -> Range<usize> {
        let end = range.end.min(self.bytes).div_ceil(self.piece_bytes) as usize;
        ((range.start / self.piece_bytes) as usize).min(end)..end
    }
}

/// The pieces of all files of a model.
#[derive(Clone, Debug)]
pub struct PieceMap {
    files: Vec<File>,
    /// Where to look for the next piece first: file and piece.
    cursor: (usize, usize),
}

impl PieceMap {
    /// Nothing is there yet of files of so many bytes.
    #[must_use]
    pub fn new(bytes: impl IntoIterator<Item = u64>) -> Self {
        Self { files: bytes.into_iter().map(File::new).collect(), cursor: (0, 0) }
    }

    /// How a file's server gives it out.
    #[must_use]
    pub fn serving(&self, file: usize) -> Serving {
        self.files[file].serving
    }

    /// Takes note of how a file's server gives it out.
    pub fn set_serving(&mut self, file: usize, serving: Serving) {
        self.files[file].serving = serving;
    }

    /// The next piece to fetch, which is then on its way; of a file that nobody asked for yet only one, until it is known
    /// how it is given out. None where nothing is missing, or where one has to wait.
    pub fn take_next(&mut self) -> Option<Piece> {
        let n_files = self.files.len();
        let (first, from) = self.cursor;
        // Around once: the rest of the file that is being read, the files after it, and those before.
        let rest = std::iter::once((first, from));
        let others = (1..=n_files).map(|step| ((first + step) % n_files, 0));
        for (at, from) in rest.chain(others) {
            let file = &mut self.files[at];
            if matches!(file.serving, Serving::Asked | Serving::Whole) {
                continue;
            }
            for index in from..file.pieces.len() {
                let State::Missing(bytes) = file.pieces[index] else { continue };
                file.pieces[index] = State::Coming(bytes);
                if file.serving == Serving::Unknown {
                    file.serving = Serving::Asked;
                }
                let piece = self.piece(at, index);
                return Some(Piece { from: piece.begin + bytes, ..piece });
            }
        }
        None
    }

    fn piece(&self, file: usize, index: usize) -> Piece {
        let Range { start: begin, end } = self.files[file].range(index);
        Piece { file, index, begin, end, from: begin }
    }

    /// The piece of a file that holds a byte.
    #[must_use]
    pub fn piece_at(&self, file: usize, offset: u64) -> Piece {
        self.piece(file, (offset / self.files[file].piece_bytes) as usize)
    }

    /// So many bytes of a piece are there; it is, once these are all.
    pub fn came(&mut self, piece: Piece, bytes: u64) {
        let state = &mut self.files[piece.file].pieces[piece.index];
        if *state != State::There {
            *state = if bytes >= piece.end - piece.begin { State::There } else { State::Coming(bytes) };
        }
    }

    /// This piece is fetched no more; nor the rest of a file that is given out only whole, or whose server has not answered
    /// yet. How the file is given out may then be found out by another request.
    pub fn give_up(&mut self, piece: Piece) {
        let file = &mut self.files[piece.file];
        let is_alone = matches!(file.serving, Serving::Asked | Serving::Whole);
        if is_alone {
            file.serving = Serving::Unknown;
        }
        let given_up = if is_alone { 0..file.pieces.len() } else { piece.index..piece.index + 1 };
        for state in &mut file.pieces[given_up] {
            if let State::Coming(bytes) = *state {
                *state = State::Missing(bytes);
            }
        }
    }

    /// A file is to be fetched again.
    pub fn forget(&mut self, file: usize) {
        self.files[file] = File::new(self.files[file].bytes);
    }

    /// Whether all bytes of a range of a file are there.
    #[must_use]
    pub fn has(&self, file: usize, range: &Range<u64>) -> bool {
        let file = &self.files[file];
        file.pieces[file.holding(range)].iter().all(|state| *state == State::There)
    }

    /// Somebody waits for these bytes: they come next, and what follows them after that.
    pub fn want(&mut self, file: usize, range: &Range<u64>) {
        let at = &self.files[file];
        let missing = at.holding(range).find(|index| matches!(at.pieces[*index], State::Missing(_)));
        if let Some(index) = missing {
            self.cursor = (file, index);
        }
    }

    /// Whether everything is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| file.pieces.iter().all(|state| *state == State::There))
    }

    /// Bytes that are there, and those of pieces that are on their way.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |file: &File, index: usize| {
            let range = file.range(index);
            match file.pieces[index] {
                State::Missing(bytes) | State::Coming(bytes) => bytes,
                State::There => range.end - range.start,
            }
        };
        self.files.iter().map(|file| (0..file.pieces.len()).map(|index| of(file, index)).sum::<u64>()).sum()
    }

    /// What is there of a file, for a record.
    #[must_use]
    pub fn there(&self, file: usize) -> There {
        let pieces = &self.files[file].pieces;
        let whole = pieces.iter().map(|state| if *state == State::There { '1' } else { '0' }).collect();
        let partial = pieces.iter().enumerate().filter_map(|(index, state)| match *state {
            State::Missing(bytes) | State::Coming(bytes) if bytes > 0 => Some((index, bytes)),
            _ => None,
        });
        There { whole, partial: partial.collect() }
    }

    /// Takes over what a record says of a file; what cannot be is left out.
    pub fn restore(&mut self, file: usize, there: &There) {
        let file = &mut self.files[file];
        if there.whole.len() != file.pieces.len() {
            return;
        }
        for (state, digit) in file.pieces.iter_mut().zip(there.whole.bytes()) {
            *state = if digit == b'1' { State::There } else { State::Missing(0) };
        }
        for &(index, bytes) in &there.partial {
            let range = file.range(index.min(there.whole.len() - 1));
            if file.pieces.get(index) == Some(&State::Missing(0)) && bytes < range.end - range.start {
                file.pieces[index] = State::Missing(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Two files of 3.5 and 2 pieces, whose servers know ranges.
    fn map() -> PieceMap {
        let mut map = PieceMap::new([3 * MIB + MIB / 2, 2 * MIB]);
        map.set_serving(0, Serving::Ranges);
        map.set_serving(1, Serving::Ranges);
        map
    }

    fn places(map: &mut PieceMap) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| map.take_next()).map(|piece| (piece.file, piece.index)).collect()
    }

    #[test]
    fn pieces_come_in_order_and_once() {
        let mut map = map();
        assert_eq!(map.take_next(), Some(Piece { file: 0, index: 0, begin: 0, end: MIB, from: 0 }));
        assert_eq!(places(&mut map), [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]);
        assert_eq!(map.take_next(), None);
        assert_eq!(
            map.piece_at(0, 3 * MIB + 5),
            Piece { file: 0, index: 3, begin: 3 * MIB, end: 3 * MIB + MIB / 2, from: 3 * MIB }
        );
    }

    #[test]
    fn who_waits_comes_first() {
        let mut map = map();
        map.want(0, &(2 * MIB + 7..2 * MIB + 8));
        assert_eq!(map.take_next().map(|piece| piece.index), Some(2));
        map.want(1, &(MIB..2 * MIB));
        assert_eq!(places(&mut map), [(1, 1), (0, 0), (0, 1), (0, 3), (1, 0)]);
    }

    #[test]
    fn one_asks_and_the_others_wait_for_the_answer() {
        let mut map = PieceMap::new([2 * MIB, 2 * MIB]);
        let (a, b) = (map.take_next().expect("a piece"), map.take_next().expect("another"));
        assert_eq!((a.file, b.file, map.take_next()), (0, 1, None));
        map.set_serving(0, Serving::Whole);
        assert_eq!(map.take_next(), None);
        map.set_serving(1, Serving::Ranges);
        assert_eq!(map.take_next(), Some(Piece { file: 1, index: 1, begin: MIB, end: 2 * MIB, from: MIB }));
        // What came whole and broke off has to be asked for again, but for the pieces that were there.
        map.came(a, a.end);
        let behind = map.piece_at(0, a.end);
        map.came(behind, 5);
        assert_eq!(map.take_next(), None);
        map.give_up(a);
        let behind = Piece { from: behind.begin + 5, ..behind };
        assert_eq!((map.take_next(), map.serving(0)), (Some(behind), Serving::Asked));
    }

    #[test]
    fn what_is_there_is_counted_and_recorded() {
        let mut map = map();
        let piece = map.take_next().expect("a piece");
        map.came(piece, 1000);
        assert!((map.bytes(), map.has(0, &(0..1))) == (1000, false));
        map.came(piece, MIB);
        assert!(map.bytes() == MIB && map.has(0, &(0..MIB)) && !map.has(0, &(0..MIB + 1)) && map.has(0, &(5..5)));
        let next = map.take_next().expect("another");
        map.came(next, 7);
        map.give_up(next);
        let there = map.there(0);
        assert_eq!(there, There { whole: "1000".into(), partial: vec![(1, 7)] });
        let mut again = PieceMap::new([3 * MIB + MIB / 2, 2 * MIB]);
        again.restore(0, &there);
        let odd = [(0, MIB), (1, 5), (9, 5), (1, u64::MAX), (usize::MAX, 1)];
        again.restore(1, &There { whole: "10".into(), partial: odd.to_vec() });
        assert_eq!(again.bytes(), 2 * MIB + 12);
        again.restore(1, &There { whole: "111".into(), partial: vec![] });
        assert_eq!(again.bytes(), 2 * MIB + 12);
        assert_eq!(again.take_next(), Some(Piece { from: MIB + 7, ..next }));
        again.restore(0, &There { whole: "1111".into(), partial: vec![] });
        again.restore(1, &There { whole: "11".into(), partial: vec![] });
        assert!(again.is_complete());
        again.forget(0);
        assert!(!again.is_complete() && again.bytes() == 2 * MIB);
    }

    #[test]
    fn pieces_are_neither_too_small_nor_too_many() {
        let of = |bytes| PieceMap::new([bytes]).piece_at(0, 0).end;
        assert_eq!([of(5), of(MIB), of(40 * MIB), of(9 << 40)], [5, MIB, 2 * MIB, 8 * MIB]);
    }
}
