// Bias contract of a choice of experts: what is added to a rank, and does not weigh. Here nothing.
fn rank_bias(expert: u32) -> f32 {
    return 0.0;
}
