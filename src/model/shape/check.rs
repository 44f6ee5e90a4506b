//! The checks of a shape: everything that the rest of the program relies on without asking again. The upper bounds
//! are several times what any V4 has, and keep every product of a kernel's sizes inside 32 bits.

use super::keys::{self, Key};
use super::{NO_LIMIT, RATIO_HEAVY, RATIO_SPARSE, Shape};
use crate::error::{Error, Result};

/// More layers than this no model has.
pub(super) const MOST_LAYERS: u32 = 1024;

/// What to do about a shape that makes no sense.
const ADVICE: &str = "The file is damaged, or holds a kind of model that is not supported.";

/// A count, the bounds that it must keep, and what it must be a multiple of.
struct Count<'a> {
    key: &'a Key,
    value: u32,
    least: u32,
    most: u32,
    multiple: u32,
}

fn count(key: &Key, value: u32, least: u32, most: u32) -> Count<'_> {
    Count { key, value, least, most, multiple: 1 }
}

/// A width that vectors of four are read along.
fn width(key: &Key, value: u32, most: u32) -> Count<'_> {
    Count { key, value, least: 4, most, multiple: 4 }
}

impl Shape {
    /// Fails, naming the key, what was found and what was expected, unless the shape is one of V4's and all sizes
    /// are within reason. Shapes read from files have passed.
    pub fn check(&self) -> Result<()> {
        self.check_by(&|key| format!("key {:?}", key.config[0]))
    }

    /// The same; `thing` is what an error calls a key.
    pub(super) fn check_by(&self, thing: &dyn Fn(&Key) -> String) -> Result<()> {
        let wrong = |key: &Key, found: String, expected: String| {
            Err(Error::file(thing(key), found).expected(expected).advice(ADVICE))
        };
        for Count { key, value, least, most, multiple } in self.counts() {
            if !(least..=most).contains(&value) || !value.is_multiple_of(multiple) {
                let multiple = if multiple > 1 { format!("a multiple of {multiple} ") } else { String::new() };
                return wrong(key, value.to_string(), format!("{multiple}from {least} to {most}"));
            }
        }
        let is_ratio = |ratio: &u32| [0, RATIO_SPARSE, RATIO_HEAVY].contains(ratio);
        if let Some(ratio) = self.ratios.iter().find(|ratio| !is_ratio(ratio)) {
            return wrong(&keys::RATIOS, ratio.to_string(), format!("0, {RATIO_SPARSE} or {RATIO_HEAVY} for a layer"));
        }
        for limits in [&self.swiglu_limit, &self.swiglu_limit_shared] {
            if limits.len() != self.n_layers() || !limits.iter().all(|&limit| limit > 0.0 && limit <= NO_LIMIT) {
                let expected = format!("{} numbers above zero", self.n_layers());
                return wrong(&keys::LIMIT, format!("{limits:?}"), expected);
            }
        }
        for (key, value, least, most) in self.numbers() {
            if !(least..=most).contains(&value) {
                return wrong(key, value.to_string(), format!("from {least} to {most}"));
            }
        }
        Ok(())
    }

    fn counts(&self) -> [Count<'_>; 21] {
        let has_sparse = self.ratios.contains(&RATIO_SPARSE);
        let narrowest_head = if has_sparse { self.head_dim.min(self.index_head_dim) } else { self.head_dim };
        [
            count(&keys::N_LAYERS, u32::try_from(self.n_layers()).unwrap_or(u32::MAX), 1, MOST_LAYERS),
            count(&keys::N_VOCAB, self.n_vocab, 1, 1 << 22),
            width(&keys::N_EMBD, self.n_embd, 1 << 16),
            count(&keys::N_HEADS, self.n_heads, 1, 1 << 10),
            width(&keys::HEAD_DIM, self.head_dim, 1 << 12),
            width(&keys::INDEX_HEAD_DIM, self.index_head_dim, 1 << 12),
            Count { multiple: 2, ..count(&keys::ROPE_DIMS, self.rope_dims, 2, narrowest_head) },
            width(&keys::Q_LORA, self.q_lora, 1 << 16),
            count(&keys::O_GROUPS, self.o_groups, 1, self.n_heads),
            // Groups of equally many heads.
            Count { multiple: self.o_groups, ..count(&keys::N_HEADS, self.n_heads, 1, 1 << 10) },
            width(&keys::O_LORA, self.o_lora, 1 << 14),
            count(&keys::WINDOW, self.window, 1, 1 << 16),
            count(&keys::INDEX_HEADS, self.index_heads, 1, 1 << 10),
            count(&keys::INDEX_TOP_K, self.index_top_k, 1, 1 << 16),
            count(&keys::N_EXPERTS, self.n_experts, 1, 1 << 12),
            count(&keys::N_USED, self.n_used, 1, self.n_experts.min(64)),
            width(&keys::N_HIDDEN, self.n_hidden, 1 << 16),
            count(&keys::N_HASH_LAYERS, self.n_hash_layers, 0, self.n_layers() as u32),
            count(&keys::SINKHORN, self.sinkhorn_iterations, 1, 1000),
            count(&keys::YARN_ORIGINAL, self.yarn.original, 1, 1 << 26),
            count(&keys::CONTEXT, self.context_length, 1, 1 << 26),
        ]
    }

    fn numbers(&self) -> [(&Key, f64, f64, f64); 8] {
        [
            (&keys::ROUTED_SCALE, f64::from(self.routed_scale), 1e-6, 1e6),
            (&keys::HYPER_EPS, f64::from(self.hyper_eps), 0.0, 0.1),
            (&keys::NORM_EPS, f64::from(self.norm_eps), 0.0, 0.1),
            (&keys::ROPE_BASE, self.rope_base, 1.5, 1e12),
            (&keys::COMPRESS_ROPE_BASE, self.compress_rope_base, 1.5, 1e12),
            (&keys::YARN_FACTOR, self.yarn.factor, 1.0, 1e6),
            (&keys::YARN_SLOW, self.yarn.beta_slow, 1e-6, 1e6),
            (&keys::YARN_FAST, self.yarn.beta_fast, self.yarn.beta_slow, 1e6),
        ]
    }
}
