//! A step of the model as plain data: buffers by name, and stages, each a kernel over slices of them. The same for every
//! adapter; [`super::lower`] makes dispatches of it. Recorded once per kind of step; nothing here touches a device.

use super::op::{Access, Op, Spec};

/// What a buffer is for, so that memory can be reported by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Weights: written once, at load.
    Weights,
    /// State that outlives a step: windows, compressed entries, projections.
    Cache,
    /// Values of one step.
    Scratch,
}

/// A buffer to be, in bytes.
#[derive(Clone, Debug)]
pub struct BufferPlan {
    /// Name, in the vocabulary of the stages.
    pub label: String,
    /// Size, a multiple of 4.
    pub bytes: u64,
    /// What it is for.
    pub purpose: Purpose,
}

/// A buffer of an [`Arena`], or one of a lowering's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// From this number on a buffer is scratch of a lowering. No arena has so many.
const FIRST_SCRATCH: u32 = 1 << 31;

impl BufferId {
    /// Number `n` of a lowering's scratch buffers.
    #[must_use]
    pub fn scratch(n: u32) -> Self {
        Self(FIRST_SCRATCH + n)
    }

    /// Its number among the scratch buffers, if it is one.
    #[must_use]
    pub fn as_scratch(self) -> Option<u32> {
        self.0.checked_sub(FIRST_SCRATCH)
    }
}

/// All buffers of a session, planned before anything is allocated.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    /// The buffers; a [`BufferId`] is an index.
    pub buffers: Vec<BufferPlan>,
}

impl Arena {
    /// Plans a buffer. It begins as zeros on every executor.
    pub fn add(&mut self, label: impl Into<String>, bytes: u64, purpose: Purpose) -> BufferId {
        let bytes = bytes.next_multiple_of(16).max(16);
        self.buffers.push(BufferPlan { label: label.into(), bytes, purpose });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// Plans a buffer of `n` 4-byte words, and a block of 32 more, because a row that is no whole number of blocks is
    /// read to the end of its last block (the weights there are zero).
    pub fn words(&mut self, label: impl Into<String>, n: u64, purpose: Purpose) -> Slice {
        let id = self.add(label, (n + 32) * 4, purpose);
        self.whole(id)
    }

    /// The whole of a buffer.
    pub fn whole(&self, buffer: BufferId) -> Slice {
        Slice { buffer, offset: 0, bytes: self.buffers[buffer.0 as usize].bytes }
    }

    /// Bytes planned for a purpose.
    pub fn bytes(&self, purpose: Purpose) -> u64 {
        self.buffers.iter().filter(|b| b.purpose == purpose).map(|b| b.bytes).sum()
    }
}

/// A range of a buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte; bound slices start at multiples of 256.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Slice {
    /// The first bytes of a lowering's scratch buffer.
    #[must_use]
    pub fn scratch(n: u32, bytes: u64) -> Self {
        Self { buffer: BufferId::scratch(n), offset: 0, bytes }
    }

    /// Whether all bytes of another are among these.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let end = |of: &Self| of.offset + of.bytes;
        self.buffer == other.buffer && self.offset <= other.offset && end(other) <= end(self)
    }

    /// Whether the two have bytes in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let reaches = |a: &Self, b: &Self| a.offset < b.offset + b.bytes;
        self.buffer == other.buffer && reaches(self, other) && reaches(other, self)
    }
}

/// A kernel over slices: what is computed, whatever the adapter.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Name in the papers' words: `attend`, `hyper_mix`, …
    pub name: &'static str,
    /// The layer it belongs to, if any.
    pub layer: Option<u32>,
    /// The kernel.
    pub op: &'static Op,
    /// What the data asks of the kernel's text, such as a weight format.
    pub spec: Spec,
    /// Bytes of its `Params`.
    pub params: Vec<u8>,
    /// Slices for bindings 1, 2, ….
    pub bindings: Vec<Slice>,
    /// Results that can be computed side by side; a lowering shares them out.
    pub n_results: u64,
    /// What it must move and do at the recorded capacity, whatever the length of the text.
    pub cost: Cost,
    /// What comes on top of that for the keys that its tokens see.
    pub keys: Option<KeyCost>,
    /// The stages that it was fused of, in order; none where it was recorded as it is. An adapter may compute these instead.
    pub parts: Vec<Stage>,
}

impl Stage {
    /// The stage itself, what it was fused of, and what that was fused of.
    #[must_use]
    pub fn with_parts(&self) -> Vec<&Stage> {
        std::iter::once(self).chain(self.parts.iter().flat_map(Self::with_parts)).collect()
    }

    /// The slices of one access, in order.
    pub fn slices(&self, access: Access) -> impl Iterator<Item = Slice> {
        let bound = self.bindings.iter().zip(self.op.bindings);
        bound.filter(move |(_, (_, of))| *of == access).map(|(slice, _)| *slice)
    }

    /// The parameters as the kernel's own struct.
    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params[..size_of::<P>()])
    }

    /// What the stage must move and do when its first token is at `position`, at the recorded capacity.
    pub fn work(&self, position: u32) -> Cost {
        let keys = self.keys.map(|keys| keys.at(position)).unwrap_or_default();
        Cost { bytes: self.cost.bytes + keys.bytes, ops: self.cost.ops + keys.ops }
    }
}

/// A kind of step: its stages in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The stages.
    pub stages: Vec<Stage>,
    /// Layer that the stages now being pushed belong to.
    pub layer: Option<u32>,
}

impl Recording {
    /// Appends a stage of `n_results` results.
    ///
    /// # Panics
    /// When the bindings are not as many as the kernel declares: a mistake in this program.
    #[allow(clippy::too_many_arguments, reason = "a stage has that many parts")]
    pub fn push<P: bytemuck::Pod>(
        &mut self,
        name: &'static str,
        op: &'static Op,
        spec: Spec,
        n_results: u64,
        params: &P,
        bindings: &[Slice],
        cost: Cost,
    ) {
        assert_eq!(bindings.len(), op.bindings.len(), "{name}: bindings of {}", op.name);
        self.stages.push(Stage {
            name,
            layer: self.layer,
            op,
            spec,
            params: bytemuck::bytes_of(params).to_vec(),
            bindings: bindings.to_vec(),
            n_results,
            cost,
            keys: None,
            parts: Vec::new(),
        });
    }

    /// Says that the last stage's cost also grows with the keys that its tokens see.
    pub fn see_keys(&mut self, keys: KeyCost) {
        if let Some(stage) = self.stages.last_mut() {
            stage.keys = Some(keys);
        }
    }
}

/// What a dispatch must move and do, at the recorded capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes read and written, each once.
    pub bytes: u64,
    /// Multiplications and additions.
    pub ops: u64,
}

/// What the keys that tokens see cost a dispatch: each distinct key is read once, each pair of a token and a key that it
/// sees (a score) is computed once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCost {
    /// Tokens of the recording.
    pub n_tokens: u32,
    /// Recent tokens that are seen one by one, the token itself included.
    pub window: u32,
    /// Tokens of a compressed entry; 0 where there are none.
    pub ratio: u32,
    /// Most entries that a token sees; 0: all.
    pub top_k: u32,
    /// Whether the step's own tokens are left out, since the dispatch's other cost has them.
    pub only_before: bool,
    /// Bytes of a key.
    pub key_bytes: u64,
    /// Multiplications and additions for a key.
    pub key_ops: u64,
    /// Bytes read and written for a score.
    pub score_bytes: u64,
    /// Multiplications and additions for a score.
    pub score_ops: u64,
    /// Bytes read for each entry that there is for a token, seen or not: where the stage chooses which are.
    pub choice_bytes: u64,
    /// Additions for each of them.
    pub choice_ops: u64,
}

impl KeyCost {
    /// Of a step of `n_tokens` that does something for every position up to its own, beside what it does for these.
    #[must_use]
    pub fn before(n_tokens: u32, key_bytes: u64, key_ops: u64) -> Self {
        Self { n_tokens, window: u32::MAX, only_before: true, key_bytes, key_ops, ..Self::default() }
    }

    /// The cost of a step whose first token is at `position`.
    pub fn at(&self, position: u32) -> Cost {
        let last = u64::from(position) + u64::from(self.n_tokens.max(1));
        let n_scores: u64 = (u64::from(position) + 1..=last).map(|seen| self.seen(seen)).sum();
        let entries = self.entries(last);
        let n_choices: u64 = (u64::from(position) + 1..=last).map(|length| self.there(length)).sum();
        // Tokens that see a part of the entries choose differently, in the worst case.
        let distinct = self.there(last).min(entries * u64::from(self.n_tokens));
        let recent = if self.window > 0 { last.min(u64::from(self.window) + u64::from(self.n_tokens) - 1) } else { 0 };
        let n_keys = recent + distinct - if self.only_before { recent.min(self.n_tokens.into()) } else { 0 };
        Cost {
            bytes: n_keys * self.key_bytes + n_scores * self.score_bytes + n_choices * self.choice_bytes,
            ops: n_keys * self.key_ops + n_scores * self.score_ops + n_choices * self.choice_ops,
        }
    }

    /// Keys that a token sees when the text has `length` tokens with it.
    fn seen(&self, length: u64) -> u64 {
        length.min(u64::from(self.window)) + self.entries(length)
    }

    fn entries(&self, length: u64) -> u64 {
        let there = self.there(length);
        if self.top_k > 0 { there.min(u64::from(self.top_k)) } else { there }
    }

    /// Entries that there are for it.
    fn there(&self, length: u64) -> u64 {
        length.checked_div(u64::from(self.ratio)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cost_what_a_token_sees() {
        let keys = KeyCost {
            n_tokens: 1,
            window: 128,
            ratio: 4,
            top_k: 512,
            key_bytes: 100,
            score_bytes: 8,
            score_ops: 2,
            ..KeyCost::default()
        };
        assert_eq!(keys.at(0), Cost { bytes: 108, ops: 2 });
        // 128 recent tokens and 250 entries.
        assert_eq!(keys.at(999), Cost { bytes: 378 * 108, ops: 378 * 2 });
        // No more than top_k entries, however long the text.
        assert_eq!(keys.at(1 << 20), Cost { bytes: 640 * 108, ops: 640 * 2 });
        // Three tokens from position 0 share keys 0 to 2, and see 1 + 2 + 3 of them.
        let step = KeyCost { n_tokens: 3, ratio: 0, ..keys };
        assert_eq!(step.at(0), Cost { bytes: 300 + 48, ops: 12 });
        // Which 512 of 1,024 entries: a word for each.
        let chooses = KeyCost { choice_bytes: 4, choice_ops: 32, ..keys };
        assert_eq!(chooses.at(4_095), Cost { bytes: 640 * 108 + 1_024 * 4, ops: 640 * 2 + 1_024 * 32 });
        // What is done for every position: nothing before the first token, and the positions before a later one.
        assert_eq!(KeyCost::before(5, 100, 3).at(0), Cost::default());
        assert_eq!(KeyCost::before(5, 100, 3).at(7), Cost { bytes: 700, ops: 21 });
    }
}
