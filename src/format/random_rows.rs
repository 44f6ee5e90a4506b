//! Rows of random weights as the blocks of a file, for models of which there are no weights. A pool is encoded once, and
//! rows are cut out of it: as fast as copying, in any format, with scales as honest as those of an encoded file.

use super::Format;
use super::quant::encode_row;
use super::random::hash;
use crate::error::Result;

/// Elements of a pool: whole blocks of every format, and many times the longest row.
const POOL: u32 = 1 << 22;

/// A pool for rows of one length.
#[derive(Clone, Debug)]
pub struct RandomRows {
    blocks: Vec<u8>,
    block_bytes: usize,
    row_bytes: usize,
    n_starts: u32,
}

impl RandomRows {
    /// For rows of `n_in` elements whose root mean square is `size`.
    ///
    /// # Errors
    /// For the tables of integers, and for rows that are no whole blocks.
    pub fn new(format: Format, n_in: u64, size: f32) -> Result<Self> {
        let largest = size * 3f32.sqrt();
        let value = |i: u32| (hash(i, 0x9001) as f32 / (1u64 << 31) as f32 - 1.0) * largest;
        // Behind the pool its begin once more, so that a row may start at any block.
        let elements: Vec<f32> = (0..POOL).chain(0..n_in as u32).map(value).collect();
        let mut blocks = Vec::new();
        encode_row(format, &elements, &mut blocks)?;
        Ok(Self {
            blocks,
            block_bytes: format.block_bytes(),
            row_bytes: format.row_bytes(n_in) as usize,
            n_starts: POOL / format.block_len() as u32,
        })
    }

    /// The blocks of row number `row` of the tensor with that seed, in two parts from two places: a vocabulary has more
    /// rows than the pool has places, and equal rows would make tokens tie.
    #[must_use]
    pub fn row(&self, row: u32, seed: u32) -> [&[u8]; 2] {
        let half = self.row_bytes / self.block_bytes / 2 * self.block_bytes;
        let part = |bytes: usize, seed: u32| {
            let start = (hash(row, seed) % self.n_starts) as usize * self.block_bytes;
            &self.blocks[start..start + bytes]
        };
        [part(half, seed), part(self.row_bytes - half, !seed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::quant::decode_row;

    #[test]
    fn rows_have_the_size_that_is_asked_for_and_differ() -> Result<()> {
        for format in [Format::F32, Format::BF16, Format::Q4_0, Format::Q8_0, Format::MXFP4] {
            let rows = RandomRows::new(format, 512, 0.25)?;
            let (mut one, mut other) = (vec![0.0f32; 512], vec![0.0f32; 512]);
            decode_row(format, &rows.row(0, 1).concat(), &mut one)?;
            decode_row(format, &rows.row(1, 1).concat(), &mut other)?;
            let size = (one.iter().map(|v| v * v).sum::<f32>() / 512.0).sqrt();
            assert!((0.2..0.3).contains(&size) && one != other, "{format}: {size}");
        }
        assert!(RandomRows::new(Format::I32, 512, 1.0).is_err());
        Ok(())
    }
}
