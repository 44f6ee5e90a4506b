//! What becomes of each tensor, decided from the directory alone.

use crate::engine::ExportTensor;
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::gguf::{self, NewTensor};
use crate::format::{Format, Stored};

/// A tensor of the model, and what becomes of it.
pub(super) struct Planned {
    pub(super) tensor: ExportTensor,
    pub(super) fate: Fate,
}

/// What becomes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its bytes as they are, under their type number.
    Copied { type_id: u32 },
    /// Decoded and encoded.
    Encoded { from: Format, to: Format, type_id: u32 },
    /// Integers of 64 bits, of which a GGUF's readers want 32.
    Narrowed { type_id: u32 },
}

impl Planned {
    /// The tensor as it will stand in the new file.
    pub(super) fn written(&self) -> NewTensor {
        let tensor = &self.tensor;
        let (type_id, bytes) = match self.fate {
            Fate::Copied { type_id } => (type_id, tensor.bytes()),
            Fate::Encoded { to, type_id, .. } => (type_id, to.row_bytes(tensor.n_in()) * tensor.n_rows()),
            Fate::Narrowed { type_id } => (type_id, tensor.bytes() / 2),
        };
        NewTensor { name: tensor.name.clone(), shape: tensor.shape.clone(), type_id, bytes }
    }
}

/// Decides for every tensor. Fails for one whose bytes cannot be told because nothing is known of its format.
pub(super) fn plan(tensors: Vec<ExportTensor>, to: Format) -> Result<Vec<Planned>> {
    tensors.into_iter().map(|tensor| Ok(Planned { fate: fate(&tensor, to)?, tensor })).collect()
}

fn fate(tensor: &ExportTensor, to: Format) -> Result<Fate> {
    let from = match &tensor.stored {
        Stored::Supported(format) => *format,
        Stored::Other(_) => {
            let type_id = gguf::type_id(&tensor.stored).filter(|_| tensor.bytes() > 0);
            return type_id.map(|type_id| Fate::Copied { type_id }).ok_or_else(|| {
                Error::file(format!("tensor {}", shown(&tensor.name)), format!("stored as {}", tensor.stored.name()))
                    .expected("a format whose size is known")
            });
        }
    };
    let wanted = match from {
        _ if is_matrix(tensor) => fitting(to, tensor.n_in()),
        Format::I64 => Format::I32,
        _ if from.ggml_id().is_none() => Format::F32,
        Format::F16 | Format::BF16 => Format::F32,
        other => other,
    };
    let unknown = || Error::file(format!("tensor {}", shown(&tensor.name)), format!("to become {wanted}"));
    let type_id = wanted.ggml_id().ok_or_else(|| unknown().expected("a format that GGUF has"))?;
    Ok(match wanted {
        _ if wanted == from => Fate::Copied { type_id },
        Format::I32 => Fate::Narrowed { type_id },
        _ => Fate::Encoded { from, to: wanted, type_id },
    })
}

/// Whether a tensor is the weight of a product that bears a coarse format. Routers and the mixing of residual streams
/// are small and decide much; tables of positions are added, not multiplied by; taps of convolutions are a few to a row.
fn is_matrix(tensor: &ExportTensor) -> bool {
    const KEPT: [&str; 8] =
        ["_norm", "ffn_gate_inp", "hc_", "_ape", "rope_freqs", "position_embd", "shortconv.conv", "ssm_conv1d"];
    let is_weight = matches!(&tensor.stored, Stored::Supported(format) if format.is_weight());
    is_weight
        && tensor.n_rows() > 1
        && tensor.name.ends_with(".weight")
        && !KEPT.iter().any(|part| tensor.name.contains(part))
}

/// The format, or the next one whose blocks the rows are made of; in the end the one that llama.cpp's quantize takes.
fn fitting(format: Format, n_in: u64) -> Format {
    format.or_finer_for(n_in).unwrap_or(Format::F16)
}

/// What a person should know of the plan.
pub(super) fn notices(planned: &[Planned], to: Format) -> Vec<String> {
    let mut notices = Vec::new();
    let mut tell = |what: &str, concerns: &dyn Fn(&Planned) -> bool| {
        let names: Vec<&str> = planned.iter().filter(|p| concerns(p)).map(|p| p.tensor.name.as_str()).collect();
        if let Some(first) = names.first() {
            notices.push(format!("{} tensors {what}, the first of them {}", names.len(), shown(first)));
        }
    };
    let misfit = |p: &Planned| is_matrix(&p.tensor) && fitting(to, p.tensor.n_in()) != to;
    tell(&format!("become Q8_0 or F16, as their rows are no multiple of {}", to.block_len()), &misfit);
    let coarse = |p: &Planned| matches!(p.fate, Fate::Encoded { from, .. } if from.block_len() > 1);
    tell("were quantized before: their errors add up", &coarse);
    let other = |p: &Planned| matches!(p.tensor.stored, Stored::Other(_));
    tell("are of a format that is unknown here and are copied", &other);
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::TensorInfo;

    fn info(name: &str, shape: &[u64], format: Format) -> TensorInfo {
        let rows: u64 = shape[..shape.len() - 1].iter().product();
        TensorInfo {
            name: name.to_owned(),
            stored: Stored::Supported(format),
            shape: shape.to_vec(),
            offset: 0,
            bytes: rows * format.row_bytes(shape[shape.len() - 1]),
            source_index: 0,
        }
    }

    #[test]
    fn matrices_take_the_format_and_the_rest_does_not() -> Result<()> {
        let id = |format: Format| format.ggml_id().expect("a format of GGUF");
        let encoded = |from, to| Fate::Encoded { from, to, type_id: id(to) };
        let copied = |format: Format| Fate::Copied { type_id: id(format) };
        for (name, shape, from, wanted) in [
            ("blk.0.attn_q_a.weight", &[4, 256][..], Format::BF16, encoded(Format::BF16, Format::Q4_K)),
            ("blk.0.ffn_up_exps.weight", &[2, 4, 512], Format::F32, encoded(Format::F32, Format::Q4_K)),
            ("blk.0.attn_q_b.weight", &[4, 96], Format::F16, encoded(Format::F16, Format::Q8_0)),
            ("blk.0.attn_kv.weight", &[4, 36], Format::F32, encoded(Format::F32, Format::F16)),
            ("token_embd.weight", &[4, 256], Format::Q4_K, copied(Format::Q4_K)),
            ("output_norm.weight", &[256], Format::BF16, encoded(Format::BF16, Format::F32)),
            ("blk.0.ffn_gate_inp.weight", &[8, 256], Format::F32, copied(Format::F32)),
            ("blk.0.hc_attn_fn.weight", &[24, 1024], Format::F16, encoded(Format::F16, Format::F32)),
            ("blk.0.attn_compressor_ape.weight", &[4, 256], Format::F32, copied(Format::F32)),
            ("blk.0.ffn_gate_tid2eid.weight", &[4, 256], Format::I32, copied(Format::I32)),
            ("blk.0.ffn_gate_tid2eid.weight", &[4, 256], Format::I64, Fate::Narrowed { type_id: id(Format::I32) }),
            ("blk.0.attn_q_b.weight", &[4, 256], Format::FP8, encoded(Format::FP8, Format::Q4_K)),
        ] {
            assert_eq!(fate(&ExportTensor::of(info(name, shape, from)), Format::Q4_K)?, wanted, "{name}");
        }
        let other = TensorInfo { stored: Stored::Other("Q8_K".to_owned()), ..info("x", &[256], Format::F32) };
        assert_eq!(fate(&ExportTensor::of(other.clone()), Format::Q4_K)?, Fate::Copied { type_id: 15 });
        assert!(fate(&ExportTensor::of(TensorInfo { bytes: 0, ..other }), Format::Q4_K).is_err());
        Ok(())
    }
}
