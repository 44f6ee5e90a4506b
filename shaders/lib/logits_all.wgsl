// What `sample` goes over: all logits, once.
const ROUNDS = 1u;

fn begin(lane: u32, end: u32, settings: Step) {
    penalize(lane, LANES, 0u, params.n_vocab, end, settings);
}

fn n_quads() -> u32 {
    return (params.n_vocab + 3u) / 4u;
}

fn four_values(quad: u32) -> mat4x4<f32> {
    return four_logits(quad);
}

fn id_of(quad: u32, j: u32) -> u32 {
    return quad * 4u + j;
}

fn share_of_all(lane: u32, least: u32, greatest: f32) -> f32 {
    return likely_sum(lane, least, greatest);
}

fn suffices(lane: u32, least: u32) -> bool {
    return true;
}
