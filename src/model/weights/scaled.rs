//! Matrices of DeepSeek's FP8 and FP4, whose scales are tensors of their own beside them.

use super::Piece;
use super::take::{Taker, tensor_error};
use crate::error::Result;
use crate::format::directory::shown;
use crate::format::scaled::Layout;
use crate::format::{Format, TensorInfo};

/// Where the scales of a piece's rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// Which source they lie in.
    pub source_index: usize,
    /// Where those of the tensor's first row begin, in bytes.
    pub offset: u64,
    /// The number of the piece's first row in its tensor.
    pub first_row: u32,
}

/// What names of weights end in, and in place of that the names of their scales, as DeepSeek's files have them: V4, V3,
/// and what other tools write.
const ENDINGS: [(&str, &str); 4] =
    [(".weight", ".scale"), (".weight", ".weight_scale_inv"), (".weight", ".weight_scale"), ("", "_scale_inv")];

impl<'a> Taker<'a> {
    /// The tensor of a weight with its scales, as the format of the blocks that they are joined into. `None` where it
    /// is none of those, or there are no scales: then it is what it says.
    pub(super) fn take_scaled(&mut self, name: &str, n_rows: u32, n_in: u32) -> Result<Option<(Format, Piece)>> {
        let weights = self.directory().require(name)?;
        let Some(scales) = self.scales_of(name) else { return Ok(None) };
        let Some(format) = Layout::format_of(weights.stored.name(), scales.stored.name()) else { return Ok(None) };
        let Some(layout) = Layout::of(format) else { return Ok(None) };
        if !n_in.is_multiple_of(32) {
            return Err(
                tensor_error(name, format!("rows of {n_in}")).expected("a multiple of 32, as blocks have scales")
            );
        }
        let check = |tensor: &TensorInfo, expected: [u64; 2]| {
            if tensor.shape == expected {
                return Ok(());
            }
            Err(tensor_error(&tensor.name, format!("of shape {:?}", tensor.shape))
                .expected(format!("{expected:?} (rows first), for a weight of [{n_rows}, {n_in}]"))
                .advice("The file is damaged, or of a version with other blocks."))
        };
        check(weights, [n_rows.into(), layout.row_bytes(n_in)])?;
        check(scales, [n_rows.div_ceil(layout.scale_rows).into(), layout.scales_per_row(n_in).into()])?;
        self.mark(weights);
        self.mark(scales);
        let scales = Scales { source_index: scales.source_index, offset: scales.offset, first_row: 0 };
        Ok(Some((format, Piece { scales: Some(scales), ..super::take::piece(weights, 0, n_rows) })))
    }

    fn scales_of(&self, name: &str) -> Option<&'a TensorInfo> {
        let names = ENDINGS.iter().filter_map(|(weight, scale)| Some(format!("{}{scale}", name.strip_suffix(weight)?)));
        names.filter_map(|name| self.directory().get(&name)).next()
    }
}

/// The weight, by one of the names that it may have, that a tensor of this name would be the scales of.
pub(super) fn scaled_by(name: &str, is_weight: impl Fn(&str) -> bool) -> Option<String> {
    let names = ENDINGS.iter().filter_map(|(weight, scale)| Some(format!("{}{weight}", name.strip_suffix(scale)?)));
    names.into_iter().find(|weight| is_weight(weight)).map(|weight| shown(&weight))
}
