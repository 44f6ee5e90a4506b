// Bias contract of a choice of experts (see bias_none.wgsl).
@group(0) @binding(8) var<storage, read> bias: array<f32>; // [N_ROUTED]

fn rank_bias(expert: u32) -> f32 {
    return bias[expert];
}
