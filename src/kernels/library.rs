//! All texts of `shaders/lib/`, whichever of them a kernel, a weight format or a config puts before its own.

/// The texts, by the names of their files.
pub(super) const TEXTS: &[&str] = &[
    shader_text!("../../shaders/lib/attend_run.wgsl"),
    shader_text!("../../shaders/lib/bias_bound.wgsl"),
    shader_text!("../../shaders/lib/bias_none.wgsl"),
    shader_text!("../../shaders/lib/block_dot.wgsl"),
    shader_text!("../../shaders/lib/block_shared.wgsl"),
    shader_text!("../../shaders/lib/block_single.wgsl"),
    shader_text!("../../shaders/lib/cached_keys_f16.wgsl"),
    shader_text!("../../shaders/lib/cached_keys_f32.wgsl"),
    shader_text!("../../shaders/lib/cached_values_f16.wgsl"),
    shader_text!("../../shaders/lib/cached_values_f32.wgsl"),
    shader_text!("../../shaders/lib/choice_best.wgsl"),
    shader_text!("../../shaders/lib/choice_table.wgsl"),
    shader_text!("../../shaders/lib/compress_entry.wgsl"),
    shader_text!("../../shaders/lib/e2m1_bits.wgsl"),
    shader_text!("../../shaders/lib/e2m1_convert.wgsl"),
    shader_text!("../../shaders/lib/entries_chosen.wgsl"),
    shader_text!("../../shaders/lib/entries_given.wgsl"),
    shader_text!("../../shaders/lib/expert_tile.wgsl"),
    shader_text!("../../shaders/lib/finish_fixed.wgsl"),
    shader_text!("../../shaders/lib/finish_plain.wgsl"),
    shader_text!("../../shaders/lib/fixed_block.wgsl"),
    shader_text!("../../shaders/lib/fixed_dots.wgsl"),
    shader_text!("../../shaders/lib/float_f16.wgsl"),
    shader_text!("../../shaders/lib/float_f32.wgsl"),
    shader_text!("../../shaders/lib/float_order.wgsl"),
    shader_text!("../../shaders/lib/gemm.wgsl"),
    shader_text!("../../shaders/lib/gemm_cooperative.wgsl"),
    shader_text!("../../shaders/lib/gemm_f16.wgsl"),
    shader_text!("../../shaders/lib/gemm_f32.wgsl"),
    shader_text!("../../shaders/lib/gemm_packed.wgsl"),
    shader_text!("../../shaders/lib/hyper_coefficients.wgsl"),
    shader_text!("../../shaders/lib/input_collapsed.wgsl"),
    shader_text!("../../shaders/lib/input_hidden.wgsl"),
    shader_text!("../../shaders/lib/input_normed.wgsl"),
    shader_text!("../../shaders/lib/input_plain.wgsl"),
    shader_text!("../../shaders/lib/inputs_own.wgsl"),
    shader_text!("../../shaders/lib/inputs_shared.wgsl"),
    shader_text!("../../shaders/lib/key_order.wgsl"),
    shader_text!("../../shaders/lib/kept_in_registers.wgsl"),
    shader_text!("../../shaders/lib/kept_in_x.wgsl"),
    shader_text!("../../shaders/lib/key_places.wgsl"),
    shader_text!("../../shaders/lib/keys.wgsl"),
    shader_text!("../../shaders/lib/logits.wgsl"),
    shader_text!("../../shaders/lib/logits_all.wgsl"),
    shader_text!("../../shaders/lib/logits_left.wgsl"),
    shader_text!("../../shaders/lib/matrices_16.wgsl"),
    shader_text!("../../shaders/lib/matrices_1x2.wgsl"),
    shader_text!("../../shaders/lib/matrices_2x2.wgsl"),
    shader_text!("../../shaders/lib/matrices_2x4.wgsl"),
    shader_text!("../../shaders/lib/matrices_8.wgsl"),
    shader_text!("../../shaders/lib/mix_part.wgsl"),
    shader_text!("../../shaders/lib/mix_sums.wgsl"),
    shader_text!("../../shaders/lib/nibbles_convert.wgsl"),
    shader_text!("../../shaders/lib/nibbles_mantissa.wgsl"),
    shader_text!("../../shaders/lib/output_added.wgsl"),
    shader_text!("../../shaders/lib/output_plain.wgsl"),
    shader_text!("../../shaders/lib/queries_made.wgsl"),
    shader_text!("../../shaders/lib/queries_ready.wgsl"),
    shader_text!("../../shaders/lib/reduce_subgroup.wgsl"),
    shader_text!("../../shaders/lib/reduce_thread.wgsl"),
    shader_text!("../../shaders/lib/reduce_workgroup.wgsl"),
    shader_text!("../../shaders/lib/rope.wgsl"),
    shader_text!("../../shaders/lib/row_groups.wgsl"),
    shader_text!("../../shaders/lib/score_root.wgsl"),
    shader_text!("../../shaders/lib/score_sigmoid.wgsl"),
    shader_text!("../../shaders/lib/score_softmax.wgsl"),
    shader_text!("../../shaders/lib/slots_added.wgsl"),
    shader_text!("../../shaders/lib/slots_chosen.wgsl"),
    shader_text!("../../shaders/lib/slots_given.wgsl"),
    shader_text!("../../shaders/lib/step.wgsl"),
    shader_text!("../../shaders/lib/sums_4x4.wgsl"),
    shader_text!("../../shaders/lib/sums_8x4.wgsl"),
    shader_text!("../../shaders/lib/sums_8x8.wgsl"),
    shader_text!("../../shaders/lib/tile.wgsl"),
    shader_text!("../../shaders/lib/top_k_digits.wgsl"),
    shader_text!("../../shaders/lib/turn_quad.wgsl"),
    shader_text!("../../shaders/lib/wait_none.wgsl"),
    shader_text!("../../shaders/lib/wait_workgroup.wgsl"),
    shader_text!("../../shaders/lib/window_row.wgsl"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_left_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib");
        let files = std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").file_name());
        let files: Vec<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
        for name in &files {
            assert!(include_str!("library.rs").contains(&format!("shaders/lib/{name}\"")), "{name} is not listed");
        }
        assert_eq!(files.len(), TEXTS.len());
    }
}
