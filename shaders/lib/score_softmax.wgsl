// Score contract (see score_root.wgsl): softmax, up to the common factor that the division by a sum takes out. A
// group ranks by its best.
fn rank(logit: f32) -> f32 {
    return logit;
}

fn weigh(logit: f32, greatest: f32) -> f32 {
    return exp(logit - greatest);
}

fn group_rank(best: f32, second: f32) -> f32 {
    return best;
}
