//! A model of this kind as a GGUF would have it: its keys.

use super::Shape;
use super::read::{
    INTERVAL, KEY_DIM, KEY_HEADS, N_TAPS, RECURRENT, ROPE_DIMS, SECTIONS, SHARED_HIDDEN, VALUE_HEADS, VALUE_WIDTH,
};
use crate::format::gguf::Value;
use crate::model::grouped::read::{BASE, EXPERT_HIDDEN, HIDDEN, N_EXPERTS};
use crate::model::shape::keys::{self, Key};

/// How many pairs of dims turn by time, height and width. In a text all three positions are equal, so any share will do;
/// llama.cpp asks for the key.
const SHARES: [i32; 4] = [11, 11, 10, 0];

impl Shape {
    /// The keys of the architecture, with its prefix.
    #[must_use]
    pub fn gguf_keys(&self) -> Vec<(String, Value)> {
        let net = &self.net;
        let mut keys: Vec<(&Key, Value)> = vec![
            (&keys::CONTEXT, self.context_length.into()),
            (&keys::N_EMBD, self.n_embd.into()),
            (&keys::N_LAYERS, self.n_layers().into()),
            (&keys::N_VOCAB, self.n_vocab.into()),
            (&keys::N_HEADS, self.n_heads.into()),
            (&keys::N_KV_HEADS, self.n_kv_heads.into()),
            (&keys::HEAD_DIM, self.head_dim.into()),
            (&keys::VALUE_DIM, self.head_dim.into()),
            (&keys::NORM_EPS, self.norm_eps.into()),
            (&ROPE_DIMS, self.rope.n_dims.into()),
            (&SECTIONS, SHARES.as_slice().into()),
            (&BASE, (self.rope.base as f32).into()),
            (&N_TAPS, net.n_taps.into()),
            (&KEY_DIM, net.key_dim.into()),
            (&KEY_HEADS, net.n_key_heads.into()),
            (&VALUE_HEADS, net.n_value_heads.into()),
            (&VALUE_WIDTH, net.value_width().into()),
        ];
        keys.push(match self.interval() {
            Some(interval) => (&INTERVAL, interval.into()),
            None => (&RECURRENT, self.attends.iter().map(|attends| !attends).collect::<Vec<_>>().as_slice().into()),
        });
        match &self.experts {
            None => keys.push((&HIDDEN, self.n_hidden.into())),
            Some(of) => keys.extend([
                (&N_EXPERTS, of.n_experts.into()),
                (&keys::N_USED, of.n_used.into()),
                (&EXPERT_HIDDEN, of.n_hidden.into()),
                (&SHARED_HIDDEN, of.shared_hidden.into()),
            ]),
        }
        keys.into_iter().map(|(key, value)| (format!("{}.{}", self.architecture, key.gguf), value)).collect()
    }

    /// Every so many layers there is attention, where that is how it stands.
    fn interval(&self) -> Option<u32> {
        // Where no layer has attention, the first would come after the last.
        let interval = self.attends.iter().take_while(|attends| !**attends).count() + 1;
        let by_interval = |(layer, attends): (usize, &bool)| *attends == (layer + 1).is_multiple_of(interval);
        self.attends.iter().enumerate().all(by_interval).then_some(interval as u32)
    }
}
