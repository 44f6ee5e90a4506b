//! What a mixing matrix made of the residual streams, as the collapses read it: whole, or in the parts of `hyper_mix`; twin of
//! `shaders/lib/mix_sums.wgsl`.

use crate::gpu::Slice;

use super::case::CaseBuilder;
use super::mean_square;

/// Elements of a token's mix by so many rows. Each of the parts has the squares behind it, and room up to a whole vector.
pub(super) fn n_mixed(n_rows: u32, n_parts: u32) -> u32 {
    if n_parts == 0 { n_rows } else { n_parts * (n_rows / 4 + 1) * 4 }
}

/// A vector of the mix, of all its parts.
pub(super) const MIX_PART: &str = shader_text!("../../shaders/lib/mix_part.wgsl");
/// How collapses read the mix.
pub(super) const MIX_SUMS: &str = shader_text!("../../shaders/lib/mix_sums.wgsl");

/// A token's mix by `N` rows, added up, and the mean square of its streams: twin of `lib/mix_sums.wgsl`.
pub(super) fn mix_sums<const N: usize>(mix: &[f32], n_parts: u32, token: usize, streams: &[f32]) -> ([f32; N], f32) {
    let n = n_mixed(N as u32, n_parts) as usize;
    let mix = &mix[token * n..][..n];
    if n_parts == 0 {
        return (std::array::from_fn(|i| mix[i]), mean_square(streams));
    }
    let sum = |i: usize| mix.iter().skip(i).step_by(n / n_parts as usize).sum::<f32>();
    (std::array::from_fn(sum), sum(N) / streams.len() as f32)
}

/// A random mix for cases, by `of` = rows, parts and tokens: sums up to `largest`, and squares of streams of such a width.
pub(super) fn case_mix(case: &mut CaseBuilder, of: [u32; 3], n_embd: u32, largest: f32) -> Slice {
    let [n_rows, n_parts, max_tokens] = of;
    let n = n_mixed(n_rows, n_parts);
    let scale = largest / n_parts.max(1) as f32;
    let mut mix: Vec<f32> = case.random_values((max_tokens * n) as usize).iter().map(|v| v * scale).collect();
    if let Some(len) = n.checked_div(n_parts) {
        let squares = mix.iter_mut().skip(n_rows as usize).step_by(len as usize);
        squares.for_each(|sum| *sum = sum.abs() * n_embd as f32);
    }
    case.input("mix", &mix)
}
