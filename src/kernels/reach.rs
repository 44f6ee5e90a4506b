//! How far into its slices a stage reaches in a step: slices have room for the largest step and the whole context, and
//! what nothing uses need not be read back.

use std::ops::Range;

use crate::gpu::Stage;

use super::cache::{CacheTypes, KeyOrder};
use super::{
    add, add_norm, attend, attend_flash, attend_score, experts_in, experts_out, gate_up_swiglu, grouped_attend,
    grouped_heads, head_collapse, hyper_collapse, hyper_expand, hyper_expand_mix, hyper_mix, index_score, index_top_k,
    linear, linear_norm, mla_expand, norm_rows, rotate, selected_attend, swiglu,
};

/// The words of a binding that a stage can touch in a step of `n_tokens` from `position` on, ascending; `None` where it may
/// touch any.
#[must_use]
pub fn words_reached(stage: &Stage, binding: &str, position: u32, n_tokens: u32) -> Option<Vec<Range<u64>>> {
    if let Some(words) = words_of_token(stage, binding) {
        let all = 0..u64::from(n_tokens) * words;
        return Some(vec![all]);
    }
    words_of_positions(stage, binding, position + n_tokens)
}

/// Words of a token in a binding that has a row for each token of the step; `None` where it has none, or is small.
fn words_of_token(stage: &Stage, binding: &str) -> Option<u64> {
    let words = match (stage.op.name, binding) {
        ("linear_norm", "x") if linear_norm::ring(&stage.spec) > 0 => return None,
        ("linear" | "linear_add" | "linear_norm" | "linear_collapse", "x") => {
            4 * stage.params::<linear::Params>().x_stride
        }
        ("linear" | "linear_add" | "linear_norm" | "linear_collapse", "y" | "stream") => {
            let p: linear::Params = stage.params();
            if p.y_ring > 0 {
                return None;
            }
            p.y_stride
        }
        ("linear_norm", "normed") | ("linear_collapse", "collapsed") => stage.params::<linear::Params>().n_in,
        ("gate_up_norm", "normed") => stage.params::<gate_up_swiglu::Params>().n_in,
        ("gate_up_swiglu" | "gate_up_norm", "x") => 4 * stage.params::<gate_up_swiglu::Params>().x_stride,
        ("gate_up_swiglu" | "gate_up_norm", "hidden") => stage.params::<gate_up_swiglu::Params>().n_hidden,
        ("experts_in" | "route_experts_in" | "route_experts_in_of_bias" | "route_experts_in_of_table", "x") => {
            4 * stage.params::<experts_in::Params>().x_stride
        }
        (
            "experts_in"
            | "experts_in_tiled"
            | "route_experts_in"
            | "route_experts_in_of_bias"
            | "route_experts_in_of_table",
            "hidden",
        ) => {
            let p: experts_in::Params = stage.params();
            p.n_slots * p.n_hidden
        }
        ("experts_out" | "experts_out_add" | "experts_out_tiled", "hidden") => {
            let p: experts_out::Params = stage.params();
            p.n_slots * 4 * p.hidden_stride
        }
        ("experts_out" | "experts_out_tiled", "outputs") => {
            let p: experts_out::Params = stage.params();
            p.n_slots * p.n_embd
        }
        ("experts_out_add", "outputs" | "stream") => stage.params::<experts_out::Params>().n_embd,
        ("attend_flash", "queries") => 4 * stage.params::<attend_flash::Params>().queries_stride,
        ("attend_flash", "out") => {
            let p: attend_flash::Params = stage.params();
            4 * p.n_heads * p.n_quads
        }
        ("attend_score", "queries") => 4 * stage.params::<attend_score::Params>().queries_stride,
        ("attend_score", "scores") => {
            let p: attend_score::Params = stage.params();
            p.n_heads * p.scores_stride
        }
        ("attend", "scores") => {
            let p: attend::Params = stage.params();
            p.n_heads * p.scores_stride
        }
        ("attend", "out") => {
            let p: attend::Params = stage.params();
            4 * p.n_heads * p.n_quads
        }
        ("rotate", "queries") => stage.params::<rotate::Params>().stride,
        ("hyper_collapse", "streams") => 16 * stage.params::<hyper_collapse::Params>().n_quads,
        ("hyper_collapse", "x") => 4 * stage.params::<hyper_collapse::Params>().n_quads,
        ("hyper_expand", "streams" | "next") => 16 * stage.params::<hyper_expand::Params>().n_quads,
        ("hyper_expand", "outputs") => {
            let p: hyper_expand::Params = stage.params();
            4 * p.n_quads * p.n_slots
        }
        ("hyper_expand_mix", "streams" | "next") => 16 * stage.params::<hyper_expand_mix::Params>().n_quads,
        ("hyper_mix", "streams") => 16 * stage.params::<hyper_mix::Params>().n_quads,
        ("hyper_expand_mix", "outputs") => {
            let p: hyper_expand_mix::Params = stage.params();
            4 * p.n_quads * p.n_slots
        }
        ("head_collapse", "streams") => 16 * stage.params::<head_collapse::Params>().n_quads,
        ("index_score", "queries") => 4 * stage.params::<index_score::Params>().queries_stride,
        ("index_score", "scores") => stage.params::<index_score::Params>().n_entries,
        ("index_top_k", "scores") => stage.params::<index_top_k::Params>().n_entries,
        ("index_top_k", "selected") => stage.params::<index_top_k::Params>().top_k,
        ("selected_attend", "heads") => 4 * stage.params::<selected_attend::Params>().heads_stride,
        ("selected_attend", "selected") => stage.params::<selected_attend::Params>().top_k,
        ("grouped_attend", "heads") => 4 * stage.params::<grouped_attend::Params>().heads_stride,
        ("add", "stream" | "next") => 4 * stage.params::<add::Params>().n_quads,
        ("add", "outputs") => {
            let p: add::Params = stage.params();
            4 * p.n_quads * p.n_slots
        }
        ("norm_rows", "values") => {
            let p: norm_rows::Params = stage.params();
            if p.ring > 0 {
                return None;
            }
            4 * p.n_quads
        }
        ("add_norm", "stream" | "next" | "x") => 4 * stage.params::<add_norm::Params>().n_quads,
        ("add_norm", "outputs") => {
            let p: add_norm::Params = stage.params();
            4 * p.n_quads * p.n_slots
        }
        ("swiglu", "gate_up") => 8 * stage.params::<swiglu::Params>().n_quads,
        ("swiglu", "hidden") => 4 * stage.params::<swiglu::Params>().n_quads,
        _ => return None,
    };
    Some(u64::from(words))
}

/// The words of the positions before `end` in a cache that keeps every position, head by head.
fn words_of_positions(stage: &Stage, binding: &str, end: u32) -> Option<Vec<Range<u64>>> {
    let (n_heads, n_positions, width) = match stage.op.name {
        "grouped_heads" => {
            let p: grouped_heads::Params = stage.params();
            (p.n_kv_heads, p.n_positions, p.head_dim)
        }
        "mla_expand" => {
            let p: mla_expand::Params = stage.params();
            (p.n_heads, p.n_positions, 4 * (p.nope_quads + p.turned_quads))
        }
        "grouped_attend" | "grouped_heads_attend" => {
            let p: grouped_attend::Params = stage.params();
            (p.n_kv_heads, p.n_positions, 4 * p.n_quads)
        }
        _ => return None,
    };
    let types = CacheTypes::of(&stage.spec);
    let (of, end) = match binding {
        "keys" => (types.keys, KeyOrder::of(&stage.spec).reached(end)),
        "values" => (types.values, end),
        _ => return None,
    };
    let words = |positions: u32| of.words(u64::from(positions) * u64::from(width));
    let reached = |head: u64| head * words(n_positions)..head * words(n_positions) + words(end.min(n_positions));
    Some((0..u64::from(n_heads)).map(reached).collect())
}
