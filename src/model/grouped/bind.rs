//! The binding of a directory's tensors to their fields, under the names of a GGUF or of transformers.

use super::{Ffn, Layer, Shape, Weights};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::{Directory, Format};
use crate::model::part::{Extent, Kind};
use crate::model::weights::take::{Rows, Taker, piece, tensor_error};
use crate::model::weights::{Experts, Named, TensorRef};

impl Weights {
    /// Finds every weight of a model of that shape, which must have passed its checks.
    ///
    /// # Errors
    /// When a tensor is missing, of another extent, or of a format that does not suit it; the error names it, what was
    /// found and what was expected.
    pub fn bind(shape: &Shape, directory: &Directory) -> Result<Self> {
        Ok(Self::bind_named(shape, directory)?.0)
    }

    /// As [`Self::bind`], and every tensor under the name that a GGUF has for it, its rows as they lie here.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_named(shape: &Shape, directory: &Directory) -> Result<(Self, Vec<Named>)> {
        let mut binder = Binder { shape, directory, taker: Taker::new(directory), named: Vec::new() };
        let (n_vocab, n_embd) = (shape.n_vocab, shape.n_embd);
        let head = global("output.weight", "lm_head.weight");
        let has_head = head.found(directory).is_some() && !shape.is_tied;
        let mut weights = Self {
            embed: binder.matrix(global("token_embd.weight", "model.embed_tokens.weight"), n_vocab, n_embd)?,
            head: has_head.then(|| binder.matrix(head, n_vocab, n_embd)).transpose()?,
            norm: binder.vector(global("output_norm.weight", "model.norm.weight"), n_embd)?,
            layers: (0..shape.n_layers as usize).map(|layer| binder.layer(layer)).collect::<Result<_>>()?,
            ignored: Vec::new(),
        };
        binder.sort_the_rest(&mut weights.ignored)?;
        Ok((weights, binder.named))
    }
}

/// The names of a tensor, in a GGUF and with transformers.
struct Names {
    gguf: String,
    transformers: String,
}

impl Names {
    /// The name that a directory has: a GGUF's, that of the whole model, or that of the model without its head, which has
    /// no `model.` before it. For experts, `*` stands for their numbers.
    fn found(&self, directory: &Directory) -> Option<String> {
        let bare = self.transformers.strip_prefix("model.");
        let names = [Some(self.gguf.as_str()), Some(self.transformers.as_str()), bare];
        let is_there = |name: &&str| directory.get(&name.replace('*', "0")).is_some();
        names.into_iter().flatten().find(is_there).map(str::to_owned)
    }
}

fn global(gguf: &str, transformers: &str) -> Names {
    Names { gguf: gguf.to_owned(), transformers: transformers.to_owned() }
}

fn name(layer: usize, gguf: &str, transformers: &str) -> Names {
    Names { gguf: format!("blk.{layer}.{gguf}"), transformers: format!("model.layers.{layer}.{transformers}") }
}

struct Binder<'a> {
    shape: &'a Shape,
    directory: &'a Directory,
    taker: Taker<'a>,
    /// What was bound so far.
    named: Vec<Named>,
}

impl Binder<'_> {
    fn layer(&mut self, layer: usize) -> Result<Layer> {
        let shape = self.shape;
        let (n_embd, q, kv) = (shape.n_embd, shape.q_width(), shape.kv_width());
        let bias = if shape.has_bias {
            Some([
                self.vector(name(layer, "attn_q.bias", "self_attn.q_proj.bias"), q)?,
                self.vector(name(layer, "attn_k.bias", "self_attn.k_proj.bias"), kv)?,
                self.vector(name(layer, "attn_v.bias", "self_attn.v_proj.bias"), kv)?,
            ])
        } else {
            None
        };
        let output_bias = shape
            .has_output_bias
            .then(|| self.vector(name(layer, "attn_output.bias", "self_attn.o_proj.bias"), n_embd))
            .transpose()?;
        let head_norm = if shape.has_head_norm {
            Some([
                self.vector(name(layer, "attn_q_norm.weight", "self_attn.q_norm.weight"), shape.head_dim)?,
                self.vector(name(layer, "attn_k_norm.weight", "self_attn.k_norm.weight"), shape.head_dim)?,
            ])
        } else {
            None
        };
        Ok(Layer {
            attn_norm: self.vector(name(layer, "attn_norm.weight", "input_layernorm.weight"), n_embd)?,
            q: self.matrix(name(layer, "attn_q.weight", "self_attn.q_proj.weight"), q, n_embd)?,
            k: self.matrix(name(layer, "attn_k.weight", "self_attn.k_proj.weight"), kv, n_embd)?,
            v: self.matrix(name(layer, "attn_v.weight", "self_attn.v_proj.weight"), kv, n_embd)?,
            bias,
            output_bias,
            head_norm,
            o: self.matrix(name(layer, "attn_output.weight", "self_attn.o_proj.weight"), n_embd, q)?,
            ffn_norm: self.vector(name(layer, "ffn_norm.weight", "post_attention_layernorm.weight"), n_embd)?,
            ffn: self.ffn(layer)?,
        })
    }

    fn ffn(&mut self, layer: usize) -> Result<Ffn> {
        let n_embd = self.shape.n_embd;
        let Some(of) = self.shape.experts.as_ref().filter(|_| self.shape.has_experts(layer)) else {
            let n_hidden = self.shape.n_hidden;
            return Ok(Ffn::Dense {
                gate: self.matrix(name(layer, "ffn_gate.weight", "mlp.gate_proj.weight"), n_hidden, n_embd)?,
                up: self.matrix(name(layer, "ffn_up.weight", "mlp.up_proj.weight"), n_hidden, n_embd)?,
                down: self.matrix(name(layer, "ffn_down.weight", "mlp.down_proj.weight"), n_embd, n_hidden)?,
            });
        };
        let (n, n_hidden) = (of.n_experts, of.n_hidden);
        let router = self.matrix(name(layer, "ffn_gate_inp.weight", "mlp.gate.weight"), n, n_embd)?;
        let gate = name(layer, "ffn_gate_exps.weight", "mlp.experts.*.gate_proj.weight");
        let up = name(layer, "ffn_up_exps.weight", "mlp.experts.*.up_proj.weight");
        let down = name(layer, "ffn_down_exps.weight", "mlp.experts.*.down_proj.weight");
        let experts = Experts {
            n_experts: n,
            gate: self.stack(gate, n, n_hidden, n_embd)?,
            up: self.stack(up, n, n_hidden, n_embd)?,
            down: self.stack(down, n, n_embd, n_hidden)?,
        };
        if experts.gate.format != experts.up.format {
            return Err(tensor_error(&experts.up.name, experts.up.format.name())
                .expected(format!("{}, the format of {}", experts.gate.format, shown(&experts.gate.name)))
                .advice("Gate and up of the routed experts must be of one format: get another quantization."));
        }
        Ok(Ffn::Experts { router, experts })
    }

    fn matrix(&mut self, names: Names, n_rows: u32, n_in: u32) -> Result<TensorRef> {
        self.take(names, Extent { kind: Kind::Matrix, n_stacked: 1, n_rows, n_in })
    }

    fn vector(&mut self, names: Names, n_in: u32) -> Result<TensorRef> {
        self.take(names, Extent { kind: Kind::Plain, n_stacked: 1, n_rows: 1, n_in })
    }

    fn stack(&mut self, names: Names, n_stacked: u32, n_rows: u32, n_in: u32) -> Result<TensorRef> {
        self.take(names, Extent { kind: Kind::Matrix, n_stacked, n_rows, n_in })
    }

    fn take(&mut self, names: Names, extent: Extent) -> Result<TensorRef> {
        let Extent { n_stacked, n_rows, n_in, .. } = extent;
        let is_gguf = self.directory.get("token_embd.weight").is_some();
        let (name, rows) = match (names.found(self.directory), self.fused(&names)) {
            (Some(name), _) => (name, Rows::Whole),
            (None, Some(fused)) => fused,
            (None, None) if is_gguf => (names.gguf.clone(), Rows::Whole),
            (None, None) => (names.transformers.clone(), Rows::Whole),
        };
        let (format, pieces) = if name.contains('*') {
            self.taker.take_each(&name, extent)?
        } else {
            self.taker.take_rows(&name, extent, rows)?
        };
        let tensor = TensorRef { name, format, n_rows: n_stacked * n_rows, n_in, pieces };
        self.named.push(Named::new(names.gguf, extent, tensor.clone()));
        Ok(tensor)
    }

    /// Where the experts lie in transformers' own state: all of a layer in one tensor, the rows of gate before those of up.
    fn fused(&self, names: &Names) -> Option<(String, Rows)> {
        let (front, kind) = names.transformers.split_once(".*.")?;
        let (name, rows) = match kind {
            "gate_proj.weight" => ("gate_up_proj", Rows::First),
            "up_proj.weight" => ("gate_up_proj", Rows::Second),
            "down_proj.weight" => ("down_proj", Rows::Whole),
            _ => return None,
        };
        let fused = Names { gguf: names.gguf.clone(), transformers: format!("{front}.{name}") };
        Some((fused.found(self.directory)?, rows))
    }

    /// Lists the tensors that nobody asked for. Fails for what would change the model if it were ignored: a bias, a
    /// norm or a scale beside a weight in use.
    fn sort_the_rest(&self, ignored: &mut Vec<String>) -> Result<()> {
        for tensor in self.taker.rest() {
            let name = &tensor.name;
            let in_layer = ["blk.", "model.layers.", "layers."].iter().any(|prefix| name.starts_with(prefix));
            let is_empty = tensor.shape.contains(&0);
            if in_layer && !is_empty && !name.ends_with("rotary_emb.inv_freq") {
                return Err(tensor_error(name, "a tensor that this architecture does not have")
                    .expected(format!(
                        "the tensors of {}, with {} layers",
                        self.shape.architecture, self.shape.n_layers
                    ))
                    .advice("The file holds a variant that is not supported, or its keys belong to another model."));
            }
            if name != ROPE_DIVISORS {
                ignored.push(name.clone());
            }
        }
        Ok(())
    }
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
    Ok(Some(TensorRef { name: ROPE_DIVISORS.to_owned(), format, n_rows: 1, n_in, pieces }))
}
