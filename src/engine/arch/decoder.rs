//! What decoders with one residual stream have in common: embedding, a norm before each sub-layer, feed-forward networks
//! and head. Attention is of several kinds, each in a file of its own. The kinds of step are those of
//! [`super::v4::forward::Forward`].

use crate::gpu::op::Step;
use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::cache::{CacheTypes, KEY_BLOCK};
use crate::kernels::{Matrix, add, embed, norm_rows, rope, sample};
use crate::model::grouped::Rope;

use super::mla_plain::Plain;
use super::mlp::{Mlp, Mlps};
use super::state::State;
use super::step::MAX_AHEAD;
use super::step::record_all;
use super::sublayer::{Attention, Outline, Sublayer};
use crate::engine::load::upload::Uploads;

/// Where attention of a layer is planned.
pub(in crate::engine) type PlanAttention<'a> = dyn FnMut(&mut Arena, &mut Uploads, usize) -> Box<dyn Attention> + 'a;

/// A model planned on an executor: weights, cache and scratch as slices of one arena.
pub struct Decoder {
    /// Positions that fit.
    pub n_context: u32,
    /// What changes from token to token.
    pub step: Slice,
    /// Token ids by position, `[n_context + 1]`, and spare for tokens computed ahead.
    pub tokens: Slice,
    /// The residual stream, `[n_chunk, n_embd]`; attention leaves it in the second, the feed-forward network in the first.
    pub streams: [Slice; 2],
    /// Logits, `[n_logits, n_vocab]`.
    pub logits: Slice,
    /// Tokens whose logits fit.
    pub n_logits: u32,
    /// How keys and values are kept.
    pub types: CacheTypes,
    /// The plain form of latent attention, where there is one.
    pub plain: Option<Plain>,
    /// What sub-layers share; its `n` is that of the largest step.
    common: Sublayer,
    /// Normed output of the last token, `[n_embd]`.
    head_x: Slice,
    /// Outputs of attention, `[n_chunk, n_embd]`: no stage of another kind writes there, so that a fusion may leave them out.
    attn_outputs: Slice,
    embed: Vec<Matrix>,
    layers: Vec<Layer>,
    mlps: Mlps,
    norm: Slice,
    head: Vec<Matrix>,
    embed_scale: f32,
    /// What a sub-layer gave, normed: `[n_chunk, n_embd]`; empty where nothing is.
    normed: Slice,
    /// The rotation tables with their frequencies: that of most layers, and that of those that turn apart.
    ropes: Vec<(Slice, Vec<f64>)>,
}

struct Layer {
    attn_norm: Slice,
    attention: Box<dyn Attention>,
    output_bias: Option<Slice>,
    ffn_norm: Slice,
    post_norms: Option<[Slice; 2]>,
    turns_apart: bool,
    mlp: Mlp,
}

/// Whether what sub-layers give is normed before it joins the stream.
fn has_post_norms(of: &Outline<'_>) -> bool {
    of.layers.iter().any(|layer| layer.post_norms.is_some())
}

/// Positions that a cache has room for: the context, and tokens computed ahead of the host's knowledge; whole blocks of keys.
pub(in crate::engine) fn n_positions(n_context: u32) -> u32 {
    (n_context + MAX_AHEAD).next_multiple_of(KEY_BLOCK)
}

/// The largest step whose largest buffer still fits a binding, and whose scratch stays within 1 GiB; `attention` are the
/// elements of a token in each of the attention's buffers.
pub(in crate::engine) fn chunk_that_fits(of: &Outline<'_>, attention: &[u64], binding_bytes: u64, wanted: u32) -> u32 {
    let mut per_token = attention.to_vec();
    per_token.extend(Mlps::widths(of));
    // The stream twice, its normed row, what attention gave beside experts, and where there are norms for it, what a sub-layer
    // gave.
    let n_rows = 3 + usize::from(of.experts.is_some()) + usize::from(has_post_norms(of));
    per_token.extend(std::iter::repeat_n(u64::from(of.n_embd), n_rows));
    let largest = per_token.iter().max().map_or(1, |n| n * 4);
    let all = per_token.iter().map(|n| n * 4).sum::<u64>().max(1);
    let fits = (binding_bytes.saturating_sub(256) / largest).min((1 << 30) / all);
    wanted.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(1)
}

impl Decoder {
    /// What the first `n` positions left in the caches of all layers.
    pub(in crate::engine) fn held(&self, n: u32) -> Vec<Slice> {
        self.layers.iter().flat_map(|layer| layer.attention.held(n)).collect()
    }

    /// What the layers keep that a text cannot go back in at will.
    pub(in crate::engine) fn states(&self) -> Vec<State> {
        self.layers.iter().flat_map(|layer| layer.attention.states()).collect()
    }

    /// Plans everything for `n_context` positions and steps of up to `n_chunk` tokens.
    pub(in crate::engine) fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        of: &Outline<'_>,
        [n_context, n_chunk]: [u32; 2],
        types: CacheTypes,
        attention: &mut PlanAttention<'_>,
    ) -> Self {
        let n_positions = n_positions(n_context);
        let step = arena.words("step", size_of::<Step>() as u64 / 4, Purpose::Scratch);
        let tokens = arena.words("tokens", u64::from(n_positions + 1), Purpose::Cache);
        let rope_rows = rope::table_rows(n_positions);
        let mut table = |name: &str, rope: &Rope| {
            let slice = arena.words(name, rope_rows * u64::from(rope.n_dims), Purpose::Weights);
            (slice, rope.frequencies())
        };
        let mut ropes = vec![table("rope", of.rope)];
        ropes.extend(of.local_rope.map(|rope| table("local_rope", rope)));
        let rope = ropes[0].0;
        let layers = of.layers.iter().enumerate().map(|(index, layer)| Layer {
            attn_norm: uploads.vector(arena, layer.attn_norm),
            attention: attention(arena, uploads, index),
            output_bias: layer.output_bias.map(|bias| uploads.vector(arena, bias)),
            ffn_norm: uploads.vector(arena, layer.ffn_norm),
            post_norms: layer.post_norms.map(|norms| norms.each_ref().map(|norm| uploads.vector(arena, norm))),
            turns_apart: layer.turns_apart && of.local_rope.is_some(),
            mlp: Mlp::plan(arena, uploads, layer.ffn),
        });
        let layers: Vec<Layer> = layers.collect();
        let embed = uploads.stack(arena, &[of.embed]);
        let norm = uploads.vector(arena, of.norm);
        let head = of.head.map_or_else(|| embed.clone(), |head| uploads.stack(arena, &[head]));
        let mlps = Mlps::plan(arena, of, n_chunk);
        let n_logits = ((32 << 20) / (4 * of.n_vocab)).clamp(1, n_chunk.min(64));
        let mut rows =
            |what: &str, n: u32, width: u32| arena.words(what, u64::from(n) * u64::from(width), Purpose::Scratch);
        let outputs = rows("outputs", n_chunk, mlps.n_slots() * of.n_embd);
        let attn_outputs = if mlps.n_slots() > 1 { rows("attn_outputs", n_chunk, of.n_embd) } else { outputs };
        let x = rows("x", n_chunk, of.n_embd);
        let (n_vocab, n_embd, eps) = (of.n_vocab, of.n_embd, of.eps);
        Self {
            n_context,
            step,
            tokens,
            streams: [(); 2].map(|()| rows("stream", n_chunk, n_embd)),
            logits: rows("logits", n_logits, n_vocab),
            n_logits,
            types,
            plain: None,
            common: Sublayer { step, tokens, rope, x, outputs, n_vocab, n_embd, eps, n: n_chunk, plain: false },
            head_x: rows("head_x", 1, n_embd),
            attn_outputs,
            embed,
            layers,
            mlps,
            norm,
            head,
            embed_scale: of.embed_scale,
            normed: rows("normed_outputs", if has_post_norms(of) { n_chunk } else { 0 }, n_embd),
            ropes,
        }
    }

    /// The rotation tables, to be written once.
    pub fn tables(&self) -> impl Iterator<Item = (Slice, Vec<[f32; 2]>)> + '_ {
        let n = n_positions(self.n_context);
        self.ropes.iter().map(move |(slice, frequencies)| (*slice, rope::table(frequencies, n)))
    }

    /// Records a step of up to `n` tokens through all layers: ids in `tokens`, the stream out. Latent attention is taken in
    /// plain form where that is asked for.
    pub fn record_body(&self, n: u32, plain: bool) -> Recording {
        let mut recording = Recording::default();
        let embed = embed::Flow {
            step: self.step,
            tokens: self.tokens,
            streams: self.streams[0],
            n_streams: 1,
            scale: self.embed_scale,
            max_tokens: n,
        };
        for table in &self.embed {
            embed::record_embed(&mut recording, table, &embed);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            recording.layer = Some(index as u32);
            let at = Sublayer { n, plain, rope: self.ropes[usize::from(layer.turns_apart)].0, ..self.common };
            let norm = |norm, values| norm_rows::Flow { max_tokens: n, ..self.norm_flow(norm, values) };
            norm_rows::record_norm_rows(&mut recording, "attn_norm", &norm(layer.attn_norm, self.streams[0]));
            layer.attention.record(&mut recording, &Sublayer { outputs: self.attn_outputs, ..at });
            let outputs = add::Flow { n_slots: 1, bias: layer.output_bias, ..self.add_flow(self.attn_outputs, 0, n) };
            self.record_add(&mut recording, ["attn_post_norm", "attn_add"], layer.post_norms.map(|n| n[0]), outputs);
            norm_rows::record_norm_rows(&mut recording, "ffn_norm", &norm(layer.ffn_norm, self.streams[1]));
            let n_slots = self.mlps.record(&mut recording, &layer.mlp, &at);
            let outputs = add::Flow { n_slots, ..self.add_flow(at.outputs, 1, n) };
            self.record_add(&mut recording, ["ffn_post_norm", "ffn_add"], layer.post_norms.map(|n| n[1]), outputs);
        }
        recording.layer = None;
        let norm = norm_rows::Flow { max_tokens: n, ..self.norm_flow(self.norm, self.streams[0]) };
        norm_rows::record_norm_rows(&mut recording, "norm", &norm);
        recording
    }

    /// Appends the head over the stream of a step of up to `n` tokens: logits of the last token only, or of all.
    pub fn record_head(&self, recording: &mut Recording, n: u32, last_only: bool) {
        let mut x = self.common.x;
        // The body has normed every token; a step of one has its last one in row 0 already.
        if last_only && n > 1 {
            x = self.head_x;
            let flow = self.norm_flow(self.norm, self.streams[0]);
            norm_rows::record_norm_rows(
                recording,
                "head_norm",
                &norm_rows::Flow { x, last_only, max_tokens: n, ..flow },
            );
        }
        let at = Sublayer { n: if last_only { 1 } else { n }, ..self.common };
        record_all(recording, "head", &self.head, at.rows(x, at.n_embd, self.logits, at.n_vocab));
    }

    /// Appends the choice of the next token, which also advances the step.
    pub fn record_sample(&self, recording: &mut Recording) {
        sample::record_sample(recording, self.step, self.logits, self.tokens, self.common.n_vocab);
    }

    /// A norm of `values` that makes a sub-layer's input.
    fn norm_flow(&self, norm: Slice, values: Slice) -> norm_rows::Flow {
        let Sublayer { step, x, n_embd: width, eps, n: max_tokens, .. } = self.common;
        norm_rows::Flow { step, values, ring: None, norm, x, width, last_only: false, eps, max_tokens }
    }

    /// What joins the stream in one of its buffers and leaves it in the other.
    fn add_flow(&self, outputs: Slice, from: usize, max_tokens: u32) -> add::Flow {
        let Sublayer { step, n_embd, .. } = self.common;
        let [stream, next] = [self.streams[from], self.streams[1 - from]];
        add::Flow { step, stream, outputs, n_slots: 1, bias: None, next, n_embd, max_tokens }
    }

    /// What a sub-layer gave joins the stream, after it was normed where the layer has a norm for it.
    fn record_add(
        &self,
        recording: &mut Recording,
        [post_norm, add]: [&'static str; 2],
        norm: Option<Slice>,
        mut flow: add::Flow,
    ) {
        if let Some(norm) = norm {
            let max_tokens = flow.max_tokens;
            let normed = norm_rows::Flow { x: self.normed, max_tokens, ..self.norm_flow(norm, flow.outputs) };
            norm_rows::record_norm_rows(recording, post_norm, &normed);
            flow = add::Flow { outputs: self.normed, n_slots: 1, ..flow };
        }
        add::record_add(recording, add, &flow);
    }
}
