//! A NumPy file (`.npy`, version 1.0) of an f32 matrix, written row by row, so that it never lies in memory whole.
//! Layout: magic, version, length of the header, a Python dictionary padded so that data begins at a multiple of 64.

use super::new_file::NewFile;
use crate::error::Result;
use std::path::Path;

/// A matrix `[n_rows, n_columns]` under way.
#[derive(Debug)]
pub(super) struct NpyWriter {
    file: NewFile,
}

impl NpyWriter {
    /// Begins a file; the caller then writes exactly `n_rows` rows.
    pub(super) fn create(path: &Path, n_rows: usize, n_columns: usize) -> Result<Self> {
        let mut file = NewFile::create(path)?;
        file.write(&header(n_rows, n_columns))?;
        Ok(Self { file })
    }

    /// Writes one row, `[n_columns]`.
    pub(super) fn row(&mut self, row: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.file.write(&bytes)
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

fn header(n_rows: usize, n_columns: usize) -> Vec<u8> {
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_rows}, {n_columns}), }}");
    // 10 bytes stand before the dictionary, and a line's end closes it.
    let padded = (10 + dictionary.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits keep it under 192 bytes.
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{dictionary:<width$}\n", width = padded - 1).bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_begins_at_a_multiple_of_64() {
        for (n_rows, n_columns) in [(1, 1), (300, 512), (usize::MAX, usize::MAX)] {
            let header = header(n_rows, n_columns);
            assert_eq!(header.len() % 64, 0);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }
}
