//! The short convolution of LFM2, which stands in place of attention. It keeps the gated inputs of the last tokens, and every
//! token changes them: they cannot be gone back in, only copied and put back.

use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::{Matrix, short_conv};
use crate::model::grouped::{Convolution, Shape};

use super::state::{Recurrent, State};
use super::step::record_all;
use super::sublayer::{Attention, Sublayer};
use crate::engine::load::upload::Uploads;

/// The values of one step that these layers share; `[n_chunk, …]` each, f32.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Scratch {
    /// What is made of the layer's input, `[3 * n_embd]`.
    projections: Slice,
    /// What the convolution gives, `[n_embd]`.
    convolved: Slice,
}

/// Elements of a token in each of the buffers; none where no layer has a convolution.
pub(in crate::engine) fn widths(shape: &Shape) -> Vec<u64> {
    let widths = shape.convolutions.as_ref().map(|_| [3 * shape.n_embd, shape.n_embd]);
    widths.into_iter().flatten().map(u64::from).collect()
}

impl Scratch {
    /// Plans it, empty where no layer has a convolution.
    pub(in crate::engine) fn plan(arena: &mut Arena, shape: &Shape, n_chunk: u32) -> Self {
        let n = if shape.convolutions.is_some() { n_chunk } else { 0 };
        let mut rows = |what: &str, width: u32| arena.words(what, u64::from(n) * u64::from(width), Purpose::Scratch);
        Self { projections: rows("projections", 3 * shape.n_embd), convolved: rows("convolved", shape.n_embd) }
    }
}

/// A layer's convolution, on the executor.
pub(in crate::engine) struct ShortConv {
    project: Vec<Matrix>,
    taps: Slice,
    n_taps: u32,
    o: Vec<Matrix>,
    /// The gated inputs of the last tokens.
    tail: Recurrent,
    scratch: Scratch,
}

impl ShortConv {
    /// Plans the upload of layer `index`.
    pub(in crate::engine) fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        from: &Convolution,
        index: usize,
        scratch: Scratch,
    ) -> Self {
        let n_taps = from.taps.n_in;
        let n_kept = u64::from(n_taps - 1) * u64::from(from.o.n_in);
        Self {
            project: uploads.stack(arena, &[&from.project]),
            taps: uploads.vector(arena, &from.taps),
            n_taps,
            o: uploads.stack(arena, &[&from.o]),
            tail: Recurrent::plan(arena, &format!("layers.{index}.tail"), n_kept),
            scratch,
        }
    }
}

impl Attention for ShortConv {
    fn held(&self, _: u32) -> Vec<Slice> {
        self.tail.held().to_vec()
    }

    fn states(&self) -> Vec<State> {
        vec![State::Recurrent(self.tail)]
    }

    fn record(&self, recording: &mut Recording, at: &Sublayer) {
        let Scratch { projections, convolved } = self.scratch;
        record_all(recording, "project", &self.project, at.rows(at.x, at.n_embd, projections, 3 * at.n_embd));
        short_conv::record_short_conv(
            recording,
            &short_conv::Flow {
                step: at.step,
                projections,
                taps: self.taps,
                n_taps: self.n_taps,
                tail: self.tail.live(),
                y: convolved,
                n_channels: at.n_embd,
                max_tokens: at.n,
            },
        );
        record_all(recording, "o", &self.o, at.rows(convolved, at.n_embd, at.outputs, at.n_embd));
    }
}
