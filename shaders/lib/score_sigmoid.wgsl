// Score contract (see score_root.wgsl): 1 / (1 + exp(−logit)). A group ranks by the sum of its two best.
fn rank(logit: f32) -> f32 {
    return weigh(logit, 0.0);
}

// Beyond 80 an exponential would overflow, and the score is zero either way.
fn weigh(logit: f32, greatest: f32) -> f32 {
    return 1.0 / (1.0 + exp(min(-logit, 80.0)));
}

fn group_rank(best: f32, second: f32) -> f32 {
    return best + second;
}
