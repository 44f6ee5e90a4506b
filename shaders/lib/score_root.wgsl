// Score contract: how a router ranks and weighs experts, and what ranks a group of them by its two best. Here sqrt(softplus(logit)), whatever the other logits are.
fn rank(logit: f32) -> f32 {
    return weigh(logit, 0.0);
}

// log(1 + e) is taken as a series where e would drown in the 1.
fn weigh(logit: f32, greatest: f32) -> f32 {
    let e = exp(-abs(logit));
    let log_1p = select(log(1.0 + e), e * (1.0 - e * (0.5 - e / 3.0)), e < 0.01);
    return sqrt(max(logit, 0.0) + log_1p);
}

fn group_rank(best: f32, second: f32) -> f32 {
    return best + second;
}
