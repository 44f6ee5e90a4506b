//! Which keys a token attends to, for `attend_score` and `attend`; twin of `shaders/lib/keys.wgsl`.

use crate::gpu::Slice;
use crate::gpu::recording::KeyCost;

use super::case::CaseBuilder;

pub(crate) const KEYS: &str = shader_text!("../../shaders/lib/keys.wgsl");
/// The entries that a token sees: those that are named.
pub(super) const ENTRIES_GIVEN: &str = shader_text!("../../shaders/lib/entries_given.wgsl");
/// The same: those that the workgroup chooses.
pub(super) const ENTRIES_CHOSEN: &str = shader_text!("../../shaders/lib/entries_chosen.wgsl");
/// Places of keys in one word, for the texts of kernels that have the one above.
pub(super) const KEY_PLACES: &str = shader_text!("../../shaders/lib/key_places.wgsl");

/// The keys of a layer, each its own value, and the room for their scores.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// The step buffer.
    pub step: Slice,
    /// Keys of recent tokens `[window_ring, head_dim]`, f32; a token's row is its position modulo the ring.
    pub window: Slice,
    /// Tokens that are seen one by one, the token itself included.
    pub window_len: u32,
    /// Rows of `window`: at least `window_len + max_tokens − 1`.
    pub window_ring: u32,
    /// Compressed entries `[.., head_dim]`, f32; the window again where `ratio` is 0.
    pub entries: Slice,
    /// Entries to attend to `[max_tokens, top_k]`, u32; the window again where `top_k` is 0.
    pub selected: Slice,
    /// Tokens of a compressed entry; 0 where there are none.
    pub ratio: u32,
    /// Most entries that are attended to; 0 attends to all.
    pub top_k: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Elements of a head and of a key, a multiple of 4.
    pub head_dim: u32,
    /// Scores `[max_tokens, n_heads, scores_stride]`, f32.
    pub scores: Slice,
    /// Room for the scores of a token of any layer: its window, all entries there can be or `top_k` of them, the sink.
    pub scores_stride: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

impl Keys {
    /// Checks what both stages need.
    ///
    /// # Panics
    /// When heads are no multiple of 4, or the ring loses keys that a step still needs: shapes are checked before they
    /// come here.
    pub(super) fn check(&self) {
        assert!(self.head_dim.is_multiple_of(4), "attend: heads are multiples of 4");
        assert!(self.window_ring + 1 >= self.window_len + self.max_tokens, "attend: the ring holds a step's window");
        assert!(self.scores_stride > self.window_len, "attend: scores hold every key");
    }

    /// Most keys that a token of this layer sees, whatever room other layers' scores need.
    pub(super) fn n_keys(&self) -> u32 {
        let held = if self.ratio == 0 { 0 } else { self.entries.bytes / (4 * u64::from(self.head_dim)) };
        let most = if self.top_k > 0 { self.top_k } else { u32::MAX };
        let n_entries = u32::try_from(held).unwrap_or(most).min(most);
        self.window_len.saturating_add(n_entries).min(self.scores_stride - 1)
    }

    /// What the keys that tokens see cost a stage that reads or writes the scores: one product and one sum for each
    /// element of a head.
    pub(super) fn cost(&self) -> KeyCost {
        let (heads, head_dim) = (u64::from(self.n_heads), u64::from(self.head_dim));
        KeyCost {
            n_tokens: self.max_tokens,
            window: self.window_len,
            ratio: self.ratio,
            top_k: self.top_k,
            key_bytes: 4 * head_dim,
            score_bytes: 4 * heads,
            score_ops: 2 * heads * head_dim,
            ..KeyCost::default()
        }
    }
}

/// The rule of `lib/keys.wgsl`, for references.
pub(super) struct Rule {
    pub window_len: u32,
    pub window_ring: u32,
    pub ratio: u32,
    pub top_k: u32,
}

impl Rule {
    /// The keys of token number `token` of a step, at `position`, in order; each is `head_dim` wide.
    pub(super) fn keys<'a>(
        &self,
        position: u32,
        token: u32,
        [window, entries]: [&'a [f32]; 2],
        selected: &[u32],
        head_dim: usize,
    ) -> Vec<&'a [f32]> {
        let row = |rows: &'a [f32], row: u32| &rows[row as usize * head_dim..][..head_dim];
        let first = (position + 1).saturating_sub(self.window_len);
        let recent = (first..=position).map(|p| row(window, p % self.window_ring));
        let visible = (position + 1).checked_div(self.ratio).unwrap_or(0);
        let entry = |i: u32| if self.top_k > 0 { selected[(token * self.top_k + i) as usize] } else { i };
        let n_entries = if self.top_k > 0 { visible.min(self.top_k) } else { visible };
        recent.chain((0..n_entries).map(|i| row(entries, entry(i)))).collect()
    }
}

/// Random keys of one layer for a case: `ratio` and `top_k` as in [`Keys`], with 5 heads of `head_dim`.
pub(super) fn case_keys(
    case: &mut CaseBuilder,
    n_heads: u32,
    [ratio, top_k]: [u32; 2],
    head_dim: u32,
    [position, n_tokens, max_tokens]: [u32; 3],
    window_len: u32,
) -> Keys {
    let visible = |token: u32| (position + token + 1).checked_div(ratio).unwrap_or(0);
    let window_ring = window_len + max_tokens + 1;
    let most = visible(max_tokens);
    let step = case.step(position, n_tokens);
    let window = case.random_input("window", (window_ring * head_dim) as usize);
    let entries = if ratio > 0 { case.random_input("entries", ((most + 1) * head_dim) as usize) } else { window };
    let choice = |token: u32, i: u32| if visible(token) <= top_k { i } else { visible(token) - top_k + i };
    let choices: Vec<u32> = (0..max_tokens * top_k).map(|at| choice(at / top_k, at % top_k)).collect();
    let selected = if top_k > 0 { case.input("selected", &choices) } else { window };
    let scores_stride = window_len + if top_k > 0 { top_k } else { most } + 1;
    let scores = Slice { bytes: 0, ..window };
    Keys {
        step,
        window,
        window_len,
        window_ring,
        entries,
        selected,
        ratio,
        top_k,
        n_heads,
        head_dim,
        scores,
        scores_stride,
        max_tokens,
    }
}
