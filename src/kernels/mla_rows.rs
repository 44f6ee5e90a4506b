//! `mla_rows`: the latents of all positions out of the cache, as rows that products take; plain attention makes keys and
//! values of them.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::cache::{CacheType, CacheTypes};
use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `mla_rows`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 from row to row of the cache.
        pub row_quads: u32,
        /// Vectors of 4 in a latent.
        pub n_quads: u32,
        /// Positions to read at most.
        pub max_positions: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "mla_rows",
    variants: &[Variant::only(
        "mla_rows",
        shader_text!("../../shaders/kernels/mla_rows.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("latents", Access::Read), ("rows", Access::Write), ("seen", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where latents are read and written.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// The cache, `[n_positions, row_dim]`.
    pub latents: Slice,
    /// The type of its elements.
    pub cache: CacheType,
    /// Elements of a row of the cache, a multiple of 4.
    pub row_dim: u32,
    /// Elements of a latent, the first of a row, a multiple of 4.
    pub n_latent: u32,
    /// Output `[max_positions, n_latent]`, f32.
    pub rows: Slice,
    /// Output: a step whose tokens are these rows. Only its position and number of tokens are written.
    pub seen: Slice,
    /// Positions that there is room for.
    pub max_positions: u32,
    /// Tokens of the step at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `latent_rows`.
///
/// # Panics
/// When widths are no multiples of 4: shapes are checked before they come here.
pub fn record_mla_rows(recording: &mut Recording, flow: &Flow) {
    assert!(flow.row_dim.is_multiple_of(4) && flow.n_latent.is_multiple_of(4), "mla_rows: widths are multiples of 4");
    let params = Params { row_quads: flow.row_dim / 4, n_quads: flow.n_latent / 4, max_positions: flow.max_positions };
    let key_bytes = u64::from(flow.n_latent) * (4 + flow.cache.bytes());
    let cost = Cost { bytes: u64::from(flow.max_tokens) * key_bytes, ops: 0 };
    let bindings = [flow.step, flow.latents, flow.rows, flow.seen];
    let n_results = u64::from(flow.max_positions) * u64::from(params.n_quads);
    let facts = CacheTypes::both(flow.cache).variant(Spec::default());
    recording.push("latent_rows", &OP, facts, n_results, &params, &bindings, cost);
    recording.see_keys(KeyCost::before(flow.max_tokens, key_bytes, 0));
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let cache = CacheTypes::of(call.spec).keys;
    let step = call.input::<Step>(0)[0];
    let latents = call.inputs[1];
    let [rows, seen] = call.outputs::<u32, 2>();
    let n_rows = (step.position + step.n_tokens).min(p.max_positions);
    (seen[0], seen[1]) = (0, n_rows);
    let width = p.n_quads as usize * 4;
    for position in 0..n_rows as usize {
        let latent = cache.load(latents, position * p.row_quads as usize * 4, width);
        rows[position * width..].iter_mut().zip(latent).for_each(|(to, v)| *to = v.to_bits());
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([16, 8], CacheType::F32, [0, 5], 9),
        case([36, 20], CacheType::F16, [7, 3], 10),
        case([72, 64], CacheType::F16, [3, 0], 40),
    ]
}

/// `widths` are those of a row and of a latent; the step's position and tokens follow, and the room.
fn case([row_dim, n_latent]: [u32; 2], of: CacheType, [position, n_tokens]: [u32; 2], max_positions: u32) -> Case {
    let name = format!("{n_latent} of rows of {row_dim}, {of:?}, {n_tokens} at {position} of {max_positions}");
    let mut case = CaseBuilder::new(name);
    let elements = case.random_values((max_positions * row_dim) as usize);
    let mut words = vec![0u32; of.words(elements.len() as u64) as usize];
    of.store(&mut words, 0, &elements);
    let flow = Flow {
        step: case.step(position, n_tokens),
        latents: case.input("latents", &words),
        cache: of,
        row_dim,
        n_latent,
        rows: case.output("rows", (max_positions * n_latent) as usize, 1e-6),
        seen: case.output("seen", size_of::<Step>() / 4, 0.0),
        max_positions,
        max_tokens: n_tokens.max(1),
    };
    record_mla_rows(&mut case.recording, &flow);
    case.finish()
}
