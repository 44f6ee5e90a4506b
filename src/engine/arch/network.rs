//! The forward pass of whatever architecture a model has, behind one face: the session does not ask which it is.

use crate::gpu::fuse::fuse_where;
use crate::gpu::{Arena, Recording, Slice, Stage, Tuning};
use crate::kernels;
use crate::kernels::cache::CacheTypes;
use crate::model::Model;

use super::decoder::Decoder;
use super::mla_plain::Plain;
use super::state::State;
use super::step::{Kind, MAX_AHEAD};
use super::v4::buffers::Scratch;
use super::v4::forward::Forward;
use super::{delta, grouped, mla};
use crate::engine::load::options::Choices;
use crate::engine::load::upload::Uploads;

/// A model planned on an executor.
pub(in crate::engine) enum Network {
    /// DeepSeek V4.
    V4(Box<Forward>),
    /// Any decoder with one residual stream.
    Decoder(Box<Decoder>),
}

/// A constant table, and where it goes.
type Table = (Slice, Vec<[f32; 2]>);

impl Network {
    /// Plans everything as chosen, and says how many tokens a step may have: as many as wanted, or as fit the adapter's
    /// bindings.
    pub(in crate::engine) fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        model: &Model,
        Choices { n_context, n_chunk: wanted, cache }: Choices,
        binding_bytes: u64,
    ) -> (Self, u32) {
        match model {
            Model::V4(shape, weights) => {
                let n_chunk = Scratch::chunk_that_fits(shape, n_context + MAX_AHEAD, binding_bytes, wanted);
                let forward = Forward::plan(arena, uploads, shape, weights, n_context, n_chunk);
                (Self::V4(Box::new(forward)), n_chunk)
            }
            Model::Grouped(shape, weights) => {
                let sizes = [n_context, wanted];
                let (decoder, n_chunk) = grouped::plan(arena, uploads, (shape, weights), sizes, cache, binding_bytes);
                (Self::Decoder(Box::new(decoder)), n_chunk)
            }
            Model::Mla(shape, weights) => {
                let sizes = [n_context, wanted];
                let (decoder, n_chunk) = mla::plan(arena, uploads, (shape, weights), sizes, cache, binding_bytes);
                (Self::Decoder(Box::new(decoder)), n_chunk)
            }
            Model::Delta(shape, weights) => {
                let sizes = [n_context, wanted];
                let (decoder, n_chunk) = delta::plan(arena, uploads, (shape, weights), sizes, cache, binding_bytes);
                (Self::Decoder(Box::new(decoder)), n_chunk)
            }
        }
    }

    /// Constant tables to write once, each computed when it is asked for: at a million positions they are large.
    pub(in crate::engine) fn tables(&self) -> Box<dyn Iterator<Item = Table> + '_> {
        match self {
            Self::V4(forward) => Box::new(forward.tables()),
            Self::Decoder(forward) => Box::new(forward.tables()),
        }
    }

    /// Records a kind of step, its stages fused where kernels know how.
    pub(in crate::engine) fn record(&self, kind: Kind) -> Recording {
        self.record_where(kind, &|_| true)
    }

    /// As [`Self::record`], of the fused stages those alone that are wanted.
    pub(in crate::engine) fn record_where(&self, kind: Kind, is_wanted: &dyn Fn(&Stage) -> bool) -> Recording {
        fuse_where(&self.record_parts(kind), kernels::RULES, is_wanted)
    }

    /// Records a kind of step, stage by stage.
    fn record_parts(&self, kind: Kind) -> Recording {
        let mut recording = Recording::default();
        match kind {
            Kind::Decode | Kind::DecodeDense => {
                recording = self.record_body(1, kind);
                self.record_head(&mut recording, 1, true);
                self.record_sample(&mut recording);
            }
            Kind::Body(n) | Kind::BodyPlain(n) => recording = self.record_body(n, kind),
            Kind::HeadLast(n) => {
                self.record_head(&mut recording, n, true);
                self.record_sample(&mut recording);
            }
            Kind::HeadAll(n) => self.record_head(&mut recording, n, false),
        }
        recording
    }

    /// The kinds of step that generation takes, for prompts' steps of these sizes.
    pub(in crate::engine) fn kinds(&self, capacities: &[u32]) -> Vec<Kind> {
        let of_prompts = capacities.iter().filter(|n| **n > 1).flat_map(|n| [Kind::Body(*n), Kind::HeadLast(*n)]);
        let dense = (self.dense_until() > 0).then_some(Kind::DecodeDense);
        // Only the largest step is worth it: what is made of latents is made for all positions in each.
        let plain = self.plain().and(capacities.last()).map(|n| Kind::BodyPlain(*n));
        std::iter::once(Kind::Decode).chain(dense).chain(of_prompts).chain(plain).collect()
    }

    /// The kind of a prompt's step of `n_tokens` at a position, among `capacities` as [`Self::kinds`] has them.
    pub(in crate::engine) fn body_at(&self, position: u32, n_tokens: u32, capacities: &[u32], tuning: &Tuning) -> Kind {
        let fitting = capacities.iter().copied().find(|n| *n >= n_tokens).unwrap_or(1);
        let is_plain = self.plain().is_some_and(|plain| {
            capacities.last() == Some(&fitting) && plain.is_better(position, n_tokens, fitting, tuning)
        });
        if is_plain { Kind::BodyPlain(fitting) } else { Kind::Body(fitting) }
    }

    /// The plain form of latent attention, where there is one.
    pub(in crate::engine) fn plain(&self) -> Option<&Plain> {
        match self {
            Self::V4(_) => None,
            Self::Decoder(forward) => forward.plain.as_ref(),
        }
    }

    /// The kind of a decode step at a position.
    pub(in crate::engine) fn decode_at(&self, position: u32) -> Kind {
        if position < self.dense_until() { Kind::DecodeDense } else { Kind::Decode }
    }

    /// Positions whose decode steps have nothing to choose.
    pub(in crate::engine) fn dense_until(&self) -> u32 {
        match self {
            Self::V4(forward) => forward.dense_until(),
            Self::Decoder(_) => 0,
        }
    }

    /// Records a step of up to `n` tokens through all layers.
    fn record_body(&self, n: u32, kind: Kind) -> Recording {
        match self {
            Self::V4(forward) => forward.record_body(n, kind == Kind::DecodeDense),
            Self::Decoder(forward) => forward.record_body(n, matches!(kind, Kind::BodyPlain(_))),
        }
    }

    fn record_head(&self, recording: &mut Recording, n: u32, last_only: bool) {
        match self {
            Self::V4(forward) => forward.record_head(recording, n, last_only),
            Self::Decoder(forward) => forward.record_head(recording, n, last_only),
        }
    }

    fn record_sample(&self, recording: &mut Recording) {
        match self {
            Self::V4(forward) => forward.record_sample(recording),
            Self::Decoder(forward) => forward.record_sample(recording),
        }
    }

    /// How keys and values are kept.
    pub(in crate::engine) fn cache_types(&self) -> CacheTypes {
        match self {
            Self::V4(_) => CacheTypes::default(),
            Self::Decoder(forward) => forward.types,
        }
    }

    /// Positions that fit.
    pub(in crate::engine) fn n_context(&self) -> u32 {
        match self {
            Self::V4(forward) => forward.n_context,
            Self::Decoder(forward) => forward.n_context,
        }
    }

    /// What changes from token to token.
    pub(in crate::engine) fn step(&self) -> Slice {
        match self {
            Self::V4(forward) => forward.step,
            Self::Decoder(forward) => forward.step,
        }
    }

    /// Token ids by position.
    pub(in crate::engine) fn tokens(&self) -> Slice {
        match self {
            Self::V4(forward) => forward.tokens,
            Self::Decoder(forward) => forward.tokens,
        }
    }

    /// What all layers keep that a text cannot go back in at will; nothing where the cache has every position.
    pub(in crate::engine) fn states(&self) -> Vec<State> {
        match self {
            Self::V4(forward) => {
                forward.states.iter().flat_map(|state| state.rings.iter().copied().map(State::Ring)).collect()
            }
            Self::Decoder(forward) => forward.states(),
        }
    }

    /// All that a text of `n` tokens left in the cache: what another can go on from.
    pub(in crate::engine) fn held(&self, n: u32) -> Vec<Slice> {
        match self {
            Self::V4(forward) => forward.states.iter().flat_map(|state| state.held(n)).collect(),
            Self::Decoder(forward) => forward.held(n),
        }
    }

    /// Logits, and of how many tokens they fit.
    pub(in crate::engine) fn logits(&self) -> (Slice, u32) {
        match self {
            Self::V4(forward) => (forward.scratch.logits, forward.scratch.n_logits),
            Self::Decoder(forward) => (forward.logits, forward.n_logits),
        }
    }

    /// The residual streams after a step, and how many there are: `[n_tokens, n_streams, n_embd]`.
    pub(in crate::engine) fn streams(&self) -> (Slice, u32) {
        match self {
            Self::V4(forward) => (forward.scratch.streams[0], crate::model::N_STREAMS),
            Self::Decoder(forward) => (forward.streams[0], 1),
        }
    }

    /// The buffers that hold the streams by turns while a step is computed.
    pub(in crate::engine) fn stream_buffers(&self) -> [Slice; 2] {
        match self {
            Self::V4(forward) => forward.scratch.streams,
            Self::Decoder(forward) => forward.streams,
        }
    }
}
