//! The binding of a directory's tensors to their fields, under the names of a GGUF or of transformers.

use super::architecture::Architecture;
use super::{Attention, BiasedExperts, Convolution, ExpertsShape, Ffn, Layer, Mixer, Shape, Weights};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::{Directory, Format, TensorInfo};
use crate::model::part::{Extent, Kind};
use crate::model::weights::bind::is_draft;
use crate::model::weights::take::{Origin, Place, Rows, piece, tensor_error};
use crate::model::weights::{Experts, Filling, Mapped, Mlp, Named, Piece, TensorRef};
use std::collections::BTreeSet;

impl Weights {
    /// Finds every weight of a model of that shape, which must have passed its checks.
    ///
    /// # Errors
    /// When a tensor is missing, of another extent, or of a format that does not suit it; the error names it, what was
    /// found and what was expected.
    pub fn bind(shape: &Shape, directory: &Directory) -> Result<Self> {
        Ok(Self::bind_named(shape, Place::Files(directory))?.0)
    }

    /// As [`Self::bind`], and every tensor under the name that a GGUF has for it, its rows as they lie here.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_named(shape: &Shape, place: Place<'_>) -> Result<(Self, Vec<Named>)> {
        let spelling = Architecture::named(&shape.architecture).spelling;
        let mut binder = Binder { norms_less_one: shape.norms_less_one, spelling, ..Binder::new(place) };
        let (n_vocab, n_embd) = (shape.n_vocab, shape.n_embd);
        let mut weights = Self {
            embed: binder.embed(n_vocab, n_embd, shape.is_tied)?,
            head: binder.head(n_vocab, n_embd, shape.is_tied)?,
            norm: binder.norm(n_embd)?,
            layers: (0..shape.n_layers as usize).map(|layer| binder.layer(shape, layer)).collect::<Result<_>>()?,
            n_parameters: binder.n_parameters(),
            ignored: Vec::new(),
        };
        weights.ignored = binder.sort_the_rest(&shape.architecture, shape.n_layers)?;
        Ok((weights, binder.named))
    }
}

/// The names of a tensor, in a GGUF and with transformers.
#[derive(Clone)]
pub(in crate::model) struct Names {
    gguf: String,
    transformers: String,
}

impl Names {
    /// The name that a directory has: a GGUF's, that of the whole model, that of the model without its head, which has
    /// no `model.` before it, or those of the text part of a model that also sees. For experts, `*` stands for their numbers.
    fn found(&self, directory: &Directory) -> Option<String> {
        let is_there = |name: &str| directory.get(&name.replace('*', "0")).is_some();
        let bare = self.transformers.strip_prefix("model.").unwrap_or(&self.transformers);
        let names = BEFORE.map(|before| format!("{before}{bare}"));
        std::iter::once(&self.gguf).chain(&names).find(|name| is_there(name)).cloned()
    }
}

/// What LFM2 calls by other words than the rest: parts of names in a GGUF and in transformers.
pub(super) const LFM2: [(&str, &str); 10] = [
    ("output_norm.", "token_embd_norm."),
    ("model.norm.", "model.embedding_norm."),
    (".input_layernorm.", ".operator_norm."),
    (".post_attention_layernorm.", ".ffn_norm."),
    (".self_attn.o_proj.", ".self_attn.out_proj."),
    (".self_attn.q_norm.", ".self_attn.q_layernorm."),
    (".self_attn.k_norm.", ".self_attn.k_layernorm."),
    (".mlp.gate_proj.", ".feed_forward.w1."),
    (".mlp.up_proj.", ".feed_forward.w3."),
    (".mlp.down_proj.", ".feed_forward.w2."),
];

fn global(gguf: &str, transformers: &str) -> Names {
    Names { gguf: gguf.to_owned(), transformers: transformers.to_owned() }
}

pub(in crate::model) fn name(layer: usize, gguf: &str, transformers: &str) -> Names {
    Names { gguf: format!("blk.{layer}.{gguf}"), transformers: format!("model.layers.{layer}.{transformers}") }
}

/// What has no name in a GGUF.
fn without_gguf(layer: usize, transformers: &str) -> Names {
    Names { gguf: String::new(), transformers: format!("model.layers.{layer}.{transformers}") }
}

/// Binds tensors, one after the other. Decoders with other attention use it too. What they ask for is the description of a
/// model's tensors that all else is made from: what is written, counted, made up and predicted.
pub(in crate::model) struct Binder<'a> {
    origin: Origin<'a>,
    /// Whether the weights of norms are kept less 1.
    pub(in crate::model) norms_less_one: bool,
    /// Words of names, and what stands for them in this architecture.
    spelling: &'static [(&'static str, &'static str)],
    /// What was bound so far.
    pub(in crate::model) named: Vec<Named>,
}

impl<'a> Binder<'a> {
    pub(in crate::model) fn new(place: Place<'a>) -> Self {
        Self { origin: Origin::new(place), norms_less_one: false, spelling: &[], named: Vec::new() }
    }

    /// Whether there is a tensor, under any of its names.
    pub(in crate::model) fn has(&self, names: &Names) -> bool {
        self.found(&self.spelled(names.clone())).is_some()
    }

    /// The name that a tensor has, if it is there.
    fn found(&self, names: &Names) -> Option<String> {
        match &self.origin {
            Origin::Files(taker) => names.found(taker.directory()),
            Origin::Nowhere(_) => Some(names.gguf.clone()).filter(|name| !name.is_empty()),
        }
    }

    /// The numbers that were learned of all that was bound.
    pub(in crate::model) fn n_parameters(&self) -> u64 {
        self.named.iter().map(Named::n_parameters).sum()
    }

    /// The names as this architecture has them.
    fn spelled(&self, names: Names) -> Names {
        let of = |name: String| match self.spelling.iter().find(|(usual, _)| name.contains(usual)) {
            Some((usual, own)) => name.replacen(usual, own, 1),
            None => name,
        };
        Names { gguf: of(names.gguf), transformers: of(names.transformers) }
    }

    /// The embedding; of the two names of a tied one safetensors may have kept the head's.
    pub(in crate::model) fn embed(&mut self, n_vocab: u32, n_embd: u32, is_tied: bool) -> Result<TensorRef> {
        let [usual, other] = ["model.embed_tokens.weight", "lm_head.weight"].map(|of| global("token_embd.weight", of));
        let names = if is_tied && !self.has(&usual) && self.has(&other) { other } else { usual };
        self.matrix(names, n_vocab, n_embd)
    }

    /// The output head, if there is one of its own: one that stands beside a tied embedding is stale.
    pub(in crate::model) fn head(&mut self, n_vocab: u32, n_embd: u32, is_tied: bool) -> Result<Option<TensorRef>> {
        let head = global("output.weight", "lm_head.weight");
        (self.has(&head) && !is_tied).then(|| self.matrix(head, n_vocab, n_embd)).transpose()
    }

    pub(in crate::model) fn norm(&mut self, n_embd: u32) -> Result<TensorRef> {
        self.norm_weights(global("output_norm.weight", "model.norm.weight"), n_embd)
    }

    /// The weights of a norm, in the way that this file keeps them.
    pub(in crate::model) fn norm_weights(&mut self, names: Names, n_in: u32) -> Result<TensorRef> {
        self.mapped(names, n_in, Filling::NearOne, if self.norms_less_one { Mapped::PlusOne } else { Mapped::AsIs })
    }

    /// A vector whose numbers may stand for others.
    pub(in crate::model) fn mapped(
        &mut self,
        names: Names,
        n_in: u32,
        filling: Filling,
        mapped: Mapped,
    ) -> Result<TensorRef> {
        let extent = Extent { kind: Kind::Plain, n_stacked: 1, n_rows: 1, n_in };
        let tensor = TensorRef { mapped, ..self.take(names, extent, filling)? };
        if let Some(named) = self.named.last_mut() {
            named.tensor.mapped = tensor.mapped;
        }
        Ok(tensor)
    }

    fn layer(&mut self, shape: &Shape, layer: usize) -> Result<Layer> {
        let n_embd = shape.n_embd;
        let attn_norm = self.norm_weights(name(layer, "attn_norm.weight", "input_layernorm.weight"), n_embd)?;
        let mixer = match shape.convolves(layer) {
            true => Mixer::Convolution(self.convolution(shape, layer)?),
            false => Mixer::Attention(self.attention(shape, layer)?),
        };
        let output_bias = shape
            .has_output_bias
            .then(|| self.vector(name(layer, "attn_output.bias", "self_attn.o_proj.bias"), n_embd))
            .transpose()?;
        // With norms behind the sub-layers, transformers calls the one before the second by another name.
        let mut ffn_norm = name(layer, "ffn_norm.weight", "post_attention_layernorm.weight");
        let mut post_norms = None;
        if shape.has_sinks {
            ffn_norm = name(layer, "post_attention_norm.weight", "post_attention_layernorm.weight");
        }
        if shape.has_post_norms {
            ffn_norm = name(layer, "ffn_norm.weight", "pre_feedforward_layernorm.weight");
            let attention = name(layer, "post_attention_norm.weight", "post_attention_layernorm.weight");
            let ffn = name(layer, "post_ffw_norm.weight", "post_feedforward_layernorm.weight");
            post_norms = Some([self.norm_weights(attention, n_embd)?, self.norm_weights(ffn, n_embd)?]);
        }
        Ok(Layer {
            attn_norm,
            mixer,
            output_bias,
            ffn_norm: self.norm_weights(ffn_norm, n_embd)?,
            post_norms,
            ffn: self.ffn(layer, n_embd, shape.n_hidden, shape.experts.as_ref())?,
        })
    }

    fn attention(&mut self, shape: &Shape, layer: usize) -> Result<Attention> {
        let (n_embd, q, kv) = (shape.n_embd, shape.q_width(), shape.kv_width());
        let bias = |n_in| Extent { kind: Kind::Plain, n_stacked: 1, n_rows: 1, n_in };
        let matrix = |n_rows| Extent { kind: Kind::Matrix, n_stacked: 1, n_rows, n_in: n_embd };
        let [biases, matrices] = [[q, kv, kv].map(bias), [q, kv, kv].map(matrix)];
        let has_bias = shape.has_bias;
        let bias = has_bias.then(|| self.attention_inputs(layer, "bias", biases, Filling::Small)).transpose()?;
        let head_norm = if shape.has_head_norm {
            Some([
                self.norm_weights(name(layer, "attn_q_norm.weight", "self_attn.q_norm.weight"), shape.head_dim)?,
                self.norm_weights(name(layer, "attn_k_norm.weight", "self_attn.k_norm.weight"), shape.head_dim)?,
            ])
        } else {
            None
        };
        let sinks = shape
            .has_sinks
            .then(|| self.vector(name(layer, "attn_sinks.weight", "self_attn.sinks"), shape.n_heads))
            .transpose()?;
        let [q, k, v] = self.attention_inputs(layer, "weight", matrices, Filling::Product)?;
        Ok(Attention {
            q,
            k,
            v,
            bias,
            sinks,
            head_norm,
            o: self.matrix(name(layer, "attn_output.weight", "self_attn.o_proj.weight"), n_embd, shape.q_width())?,
        })
    }

    /// The weights or biases of queries, keys and values: tensors of their own, or in some GGUFs the rows of one.
    fn attention_inputs(
        &mut self,
        layer: usize,
        ending: &str,
        extents: [Extent; 3],
        filling: Filling,
    ) -> Result<[TensorRef; 3]> {
        let width = |of: Extent| if of.kind == Kind::Plain { of.n_in } else { of.n_rows };
        let fused = name(layer, &format!("attn_qkv.{ending}"), "");
        let fused = if self.is_made() || !self.is_gguf() { None } else { self.found(&fused) };
        let n_all = extents.into_iter().map(width).sum();
        let mut n_before = 0;
        let mut take = |part: &str, extent: Extent| {
            let names = name(layer, &format!("attn_{part}.{ending}"), &format!("self_attn.{part}_proj.{ending}"));
            let rows = Rows::Behind { n_before, n_all };
            n_before += width(extent);
            self.take_or(names, extent, filling, fused.clone().map(|name| (name, rows)))
        };
        let [q, k, v] = extents;
        Ok([take("q", q)?, take("k", k)?, take("v", v)?])
    }

    fn convolution(&mut self, shape: &Shape, layer: usize) -> Result<Convolution> {
        let (n_embd, n_taps) = (shape.n_embd, shape.convolutions.as_ref().map_or(0, |of| of.n_taps));
        Ok(Convolution {
            project: self.matrix(name(layer, "shortconv.in_proj.weight", "conv.in_proj.weight"), 3 * n_embd, n_embd)?,
            taps: self.filters(name(layer, "shortconv.conv.weight", "conv.conv.weight"), n_embd, n_taps)?,
            o: self.matrix(name(layer, "shortconv.out_proj.weight", "conv.out_proj.weight"), n_embd, n_embd)?,
        })
    }

    /// The feed-forward network of a layer, with experts where `experts` says so.
    pub(in crate::model) fn ffn(
        &mut self,
        layer: usize,
        n_embd: u32,
        n_hidden: u32,
        experts: Option<&ExpertsShape>,
    ) -> Result<Ffn> {
        let Some(of) = experts.filter(|of| of.layers.get(layer) == Some(&true)) else {
            return Ok(Ffn::Dense {
                gate: self.matrix(name(layer, "ffn_gate.weight", "mlp.gate_proj.weight"), n_hidden, n_embd)?,
                up: self.matrix(name(layer, "ffn_up.weight", "mlp.up_proj.weight"), n_hidden, n_embd)?,
                down: self.matrix(name(layer, "ffn_down.weight", "mlp.down_proj.weight"), n_embd, n_hidden)?,
            });
        };
        if of.biased.is_some() {
            return Ok(Ffn::Biased(Box::new(self.biased_experts(layer, n_embd, of)?)));
        }
        let (n, n_hidden, n_shared) = (of.n_experts, of.n_hidden, of.shared_hidden);
        let router = self.router(name(layer, "ffn_gate_inp.weight", "mlp.gate.weight"), n, n_embd)?;
        let bias = name(layer, "exp_probs_b.bias", "mlp.gate.e_score_correction_bias");
        let bias = of.has_bias.then(|| self.vector(bias, n)).transpose()?;
        let gate = name(layer, "ffn_gate_exps.weight", "mlp.experts.*.gate_proj.weight");
        let up = name(layer, "ffn_up_exps.weight", "mlp.experts.*.up_proj.weight");
        let down = name(layer, "ffn_down_exps.weight", "mlp.experts.*.down_proj.weight");
        let experts = Experts {
            n_experts: n,
            gate: self.stack(gate, n, n_hidden, n_embd)?,
            up: self.stack(up, n, n_hidden, n_embd)?,
            down: self.stack(down, n, n_embd, n_hidden)?,
        };
        same_format(&experts.gate, &experts.up)?;
        if n_shared == 0 {
            return Ok(Ffn::Experts { router, bias, experts, shared: None, shared_gate: None });
        }
        // One that has a gate is alone, by its name.
        let shared = |part: &str| {
            let of = if of.has_shared_gate { "shared_expert" } else { "shared_experts" };
            name(layer, &format!("ffn_{part}_shexp.weight"), &format!("mlp.{of}.{part}_proj.weight"))
        };
        let [gate, up, down] = ["gate", "up", "down"].map(shared);
        let shared = Mlp {
            gate: self.matrix(gate, n_shared, n_embd)?,
            up: self.matrix(up, n_shared, n_embd)?,
            down: self.matrix(down, n_embd, n_shared)?,
        };
        let shared_gate = name(layer, "ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight");
        let shared_gate = of.has_shared_gate.then(|| self.router(shared_gate, 1, n_embd)).transpose()?;
        Ok(Ffn::Experts {
            router,
            bias,
            experts,
            shared: Some(Box::new(shared)),
            shared_gate: shared_gate.map(Box::new),
        })
    }

    /// Experts with biases: in a GGUF gate and up lie apart, in safetensors their rows alternate.
    fn biased_experts(&mut self, layer: usize, n_embd: u32, of: &ExpertsShape) -> Result<BiasedExperts> {
        let (n, n_hidden) = (of.n_experts, of.n_hidden);
        let plain = without_gguf(layer, "mlp.experts.gate_up_proj");
        if self.has(&plain) {
            return Err(tensor_error(&plain.transformers, "experts that are not quantized")
                .expected("gate_up_proj_blocks and gate_up_proj_scales, as the model is published")
                .advice("Take the published safetensors, or a GGUF."));
        }
        let router = self.router(name(layer, "ffn_gate_inp.weight", "mlp.router.weight"), n, n_embd)?;
        let router_bias = self.vector(name(layer, "ffn_gate_inp.bias", "mlp.router.bias"), n)?;
        let alternates = !self.has(&name(layer, "ffn_gate_exps.weight", ""));
        let (gate_up, gate_up_bias) = if alternates {
            let stack = name(layer, "ffn_gate_up_exps.weight", "mlp.experts.gate_up_proj_blocks");
            let bias = name(layer, "ffn_gate_up_exps.bias", "mlp.experts.gate_up_proj_bias");
            (self.stack(stack, n, 2 * n_hidden, n_embd)?, self.rows(bias, n, 2 * n_hidden)?)
        } else {
            let gate = self.stack(name(layer, "ffn_gate_exps.weight", ""), n, n_hidden, n_embd)?;
            let up = self.stack(name(layer, "ffn_up_exps.weight", ""), n, n_hidden, n_embd)?;
            same_format(&gate, &up)?;
            let gate_bias = self.rows(name(layer, "ffn_gate_exps.bias", ""), n, n_hidden)?;
            let up_bias = self.rows(name(layer, "ffn_up_exps.bias", ""), n, n_hidden)?;
            same_format(&gate_bias, &up_bias)?;
            (in_turn(gate, &up, n), in_turn(gate_bias, &up_bias, n))
        };
        let down = name(layer, "ffn_down_exps.weight", "mlp.experts.down_proj_blocks");
        let down_bias = name(layer, "ffn_down_exps.bias", "mlp.experts.down_proj_bias");
        Ok(BiasedExperts {
            router,
            router_bias,
            gate_up,
            gate_up_bias,
            alternates,
            down: self.stack(down, n, n_embd, n_hidden)?,
            down_bias: self.rows(down_bias, n, n_embd)?,
        })
    }

    pub(in crate::model) fn matrix(&mut self, names: Names, n_rows: u32, n_in: u32) -> Result<TensorRef> {
        self.stack(names, 1, n_rows, n_in)
    }

    /// The weights of a product that are few and decide much.
    pub(in crate::model) fn router(&mut self, names: Names, n_rows: u32, n_in: u32) -> Result<TensorRef> {
        self.take(names, Extent { kind: Kind::Router, n_stacked: 1, n_rows, n_in }, Filling::Product)
    }

    pub(in crate::model) fn vector(&mut self, names: Names, n_in: u32) -> Result<TensorRef> {
        self.rows(names, 1, n_in)
    }

    /// Few numbers in rows.
    fn rows(&mut self, names: Names, n_rows: u32, n_in: u32) -> Result<TensorRef> {
        self.take(names, Extent { kind: Kind::Plain, n_stacked: 1, n_rows, n_in }, Filling::Small)
    }

    pub(in crate::model) fn stack(
        &mut self,
        names: Names,
        n_stacked: u32,
        n_rows: u32,
        n_in: u32,
    ) -> Result<TensorRef> {
        self.take(names, Extent { kind: Kind::Matrix, n_stacked, n_rows, n_in }, Filling::Product)
    }

    fn take(&mut self, names: Names, extent: Extent, filling: Filling) -> Result<TensorRef> {
        let names = self.spelled(names);
        let fused = self.fused(&names, extent.n_rows);
        self.take_or(names, extent, filling, fused)
    }

    /// A tensor under its own name, or else the rows of one in which it lies with others.
    fn take_or(
        &mut self,
        names: Names,
        extent: Extent,
        filling: Filling,
        fused: Option<(String, Rows)>,
    ) -> Result<TensorRef> {
        let Extent { n_stacked, n_rows, n_in, .. } = extent;
        let (name, rows) = match (self.found(&names), fused) {
            (Some(name), _) => (name, Rows::Whole),
            (None, Some(fused)) => fused,
            (None, None) if self.is_gguf() => (names.gguf.clone(), Rows::Whole),
            (None, None) => (names.transformers.clone(), Rows::Whole),
        };
        let (format, pieces) = match &mut self.origin {
            Origin::Files(taker) if name.contains('*') => taker.take_each(&name, extent)?,
            Origin::Files(taker) => taker.take_rows(&name, extent, rows)?,
            Origin::Nowhere(made) => (made.stored(extent), vec![made.piece(&name, extent)]),
        };
        let tensor = TensorRef { name, format, n_rows: n_stacked * n_rows, n_in, pieces, mapped: Mapped::AsIs };
        self.named.push(Named::new(names.gguf, extent, filling, tensor.clone()));
        Ok(tensor)
    }

    /// Whether tensors are made as they are asked for.
    pub(in crate::model) fn is_made(&self) -> bool {
        matches!(self.origin, Origin::Nowhere(_))
    }

    /// Whether names are those of a GGUF.
    fn is_gguf(&self) -> bool {
        self.has(&Names { gguf: "token_embd.weight".to_owned(), transformers: String::new() })
    }

    /// A tensor of the files.
    fn info(&self, names: &Names) -> Option<&'a TensorInfo> {
        let Origin::Files(taker) = &self.origin else { return None };
        taker.directory().get(&names.found(taker.directory())?)
    }

    /// The filters of a convolution over single channels, `[n_channels, n_taps]`; transformers has a dim of 1 between.
    pub(in crate::model) fn filters(&mut self, names: Names, n_channels: u32, n_taps: u32) -> Result<TensorRef> {
        let (n_stacked, n_rows) = match self.info(&names) {
            Some(tensor) if tensor.shape.len() == 3 => (n_channels, 1),
            _ => (1, n_channels),
        };
        let extent = Extent { kind: Kind::Plain, n_stacked, n_rows, n_in: n_taps };
        let filters = self.take(names, extent, Filling::Product)?;
        if let Some(named) = self.named.last_mut() {
            named.shape = [n_channels, n_taps].map(u64::from).to_vec();
        }
        Ok(filters)
    }

    /// Passes over all tensors whose names begin with one of these; gives how many there are.
    pub(in crate::model) fn pass_over_all(&mut self, prefixes: &[&str]) -> usize {
        let Origin::Files(taker) = &mut self.origin else { return 0 };
        let is_one = |tensor: &&TensorInfo| prefixes.iter().any(|prefix| tensor.name.starts_with(prefix));
        let passed: Vec<&TensorInfo> = taker.rest().filter(is_one).collect();
        passed.iter().for_each(|tensor| taker.mark(tensor));
        passed.len()
    }

    /// Passes over tensors that say what others say, where they are there.
    pub(in crate::model) fn pass_over(&mut self, names: &[Names]) {
        for names in names {
            let tensor = self.info(names);
            if let (Origin::Files(taker), Some(tensor)) = (&mut self.origin, tensor) {
                taker.mark(tensor);
            }
        }
    }

    /// Passes over the layers of multi-token prediction, which follow the last one; gives how many tensors they have.
    pub(in crate::model) fn pass_over_drafts(&mut self, n_layers: u32) -> usize {
        let Origin::Files(taker) = &mut self.origin else { return 0 };
        let block = |name: &str| behind_layers(name)?.split_once('.')?.0.parse::<u32>().ok();
        let beyond = |tensor: &&TensorInfo| block(&tensor.name).is_some_and(|block| block >= n_layers);
        let rest: Vec<&TensorInfo> = taker.rest().filter(beyond).collect();
        let has_mark = |tensor: &&&TensorInfo| is_draft(&tensor.name);
        let drafts: BTreeSet<_> = rest.iter().filter(has_mark).filter_map(|tensor| block(&tensor.name)).collect();
        let in_drafts = |tensor: &&&TensorInfo| block(&tensor.name).is_some_and(|block| drafts.contains(&block));
        let passed: Vec<&TensorInfo> = rest.iter().filter(in_drafts).copied().collect();
        passed.iter().for_each(|tensor| taker.mark(tensor));
        passed.len()
    }

    /// Where the experts lie in transformers' own state and in some GGUFs: all of a layer in one tensor, of each the rows of
    /// gate before those of up.
    fn fused(&self, names: &Names, n_rows: u32) -> Option<(String, Rows)> {
        let (front, kind) = names.transformers.split_once(".*.")?;
        let (name, rows) = match kind {
            "gate_proj.weight" => ("gate_up_proj", Rows::first_half(n_rows)),
            "up_proj.weight" => ("gate_up_proj", Rows::second_half(n_rows)),
            "down_proj.weight" => ("down_proj", Rows::Whole),
            _ => return None,
        };
        let gguf = names.gguf.replace("ffn_gate_exps", "ffn_gate_up_exps").replace("ffn_up_exps", "ffn_gate_up_exps");
        let fused = Names { gguf, transformers: format!("{front}.{name}") };
        Some((self.found(&fused)?, rows))
    }

    /// Lists the tensors that nobody asked for. Fails for what would change the model if it were ignored: a bias, a
    /// norm, a gate or a scale in one of its layers, or of a GGUF's head.
    pub(in crate::model) fn sort_the_rest(&self, architecture: &str, n_layers: u32) -> Result<Vec<String>> {
        let mut ignored = Vec::new();
        let Origin::Files(taker) = &self.origin else { return Ok(ignored) };
        for tensor in taker.rest() {
            let name = &tensor.name;
            let is_empty = tensor.shape.contains(&0);
            if !is_empty && in_layers(name, n_layers).or(name.strip_prefix("output.")).is_some_and(changes) {
                return Err(tensor_error(name, "a tensor that this architecture does not have")
                    .expected(format!("the tensors of {architecture}, with {n_layers} layers"))
                    .advice("The file holds a variant that is not supported, or its keys belong to another model."));
            }
            if name != ROPE_DIVISORS {
                ignored.push(name.clone());
            }
        }
        Ok(ignored)
    }
}

/// What follows the number of a layer of the model in a tensor's name.
fn in_layers(name: &str, n_layers: u32) -> Option<&str> {
    let (number, rest) = behind_layers(name)?.split_once('.')?;
    number.parse::<u32>().ok().filter(|layer| *layer < n_layers).map(|_| rest)
}

/// Whether a part of a layer changes what it computes, by its name. Scales of a cache or of activations in 8 bits do not.
fn changes(part: &str) -> bool {
    const IDLE: [&str; 7] =
        ["q_scale", "k_scale", "v_scale", "input_scale", "activation_scale", "input_global_scale", "output_scale"];
    let is_idle = IDLE.iter().any(|idle| part.trim_end_matches("_ub").ends_with(idle));
    !is_idle
        && ["bias", "norm", "gate", "scale", "sink", "lora", "hc_", "indexer"].iter().any(|kind| part.contains(kind))
}

/// Fails unless gate and up of experts are of one format.
fn same_format(gate: &TensorRef, up: &TensorRef) -> Result<()> {
    if gate.format == up.format {
        return Ok(());
    }
    Err(tensor_error(&up.name, up.format.name())
        .expected(format!("{}, the format of {}", gate.format, shown(&gate.name)))
        .advice("Gate and up of the routed experts must be of one format: get another quantization."))
}

/// The rows of both, expert after expert: those of the first tensor, then those of the second.
fn in_turn(first: TensorRef, second: &TensorRef, n_experts: u32) -> TensorRef {
    let each = first.n_rows / n_experts;
    let rows = |expert: u32| expert * each..(expert + 1) * each;
    let pieces = (0..n_experts).flat_map(|expert| first.pieces_of(rows(expert)).chain(second.pieces_of(rows(expert))));
    TensorRef { n_rows: 2 * first.n_rows, pieces: pieces.collect(), ..first }
}

/// The rows from `first` up to `end` of every head's `of_each`.
pub(in crate::model) fn rows_of_heads(
    whole: &TensorRef,
    n_heads: u32,
    [first, end]: [u32; 2],
    of_each: u32,
) -> TensorRef {
    let rows = |head: u32| whole.pieces_of(head * of_each + first..head * of_each + end);
    let pieces: Vec<Piece> = (0..n_heads).flat_map(rows).collect();
    TensorRef { n_rows: n_heads * (end - first), pieces, ..whole.clone() }
}

/// What the names of safetensors begin with: those of a model and of its inside, and of the text part of one that also sees.
const BEFORE: [&str; 7] = [
    "model.",
    "",
    "language_model.",
    "language_model.model.",
    "model.language_model.",
    "model.text_model.",
    "text_model.",
];

/// What follows the word for layers in a tensor's name.
fn behind_layers(name: &str) -> Option<&str> {
    let of_safetensors = || BEFORE.iter().find_map(|before| name.strip_prefix(before)?.strip_prefix("layers."));
    name.strip_prefix("blk.").or_else(of_safetensors)
}

/// The tensor that divides the frequencies, in a GGUF.
const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// Where a GGUF keeps what divides the frequencies: one number for each pair, as F32; `None` where it has none.
///
/// # Errors
/// When the tensor is of another format, or longer than any head.
pub fn rope_divisors(directory: &Directory) -> Result<Option<TensorRef>> {
    let Some(tensor) = directory.get(ROPE_DIVISORS) else { return Ok(None) };
    let n_in = tensor.shape.iter().product::<u64>();
    let format = tensor.require_supported()?;
    let n_in = u32::try_from(n_in).ok().filter(|n| (1..=1 << 12).contains(n) && format == Format::F32);
    let n_in = n_in.ok_or_else(|| -> Error {
        tensor_error(ROPE_DIVISORS, format!("{format} of shape {:?}", tensor.shape)).expected("F32, one for each pair")
    })?;
    let pieces = vec![piece(tensor, 0, 1)];
    Ok(Some(TensorRef { name: ROPE_DIVISORS.to_owned(), format, n_rows: 1, n_in, pieces, mapped: Mapped::AsIs }))
}
