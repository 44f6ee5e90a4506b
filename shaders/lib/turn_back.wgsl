// What attention gives turns back by its token's position, since keys were turned to theirs; with lib/rope.wgsl.
// A pair of the head, turned back if it is among the last rope_pairs.
fn turned_back(v: vec2<f32>, position: u32, pair: u32) -> vec2<f32> {
    let first = 2u * params.n_quads - params.rope_pairs;
    if pair < first {
        return v;
    }
    let turn = rope_turn(position, pair - first);
    return rotate_pair(v, vec2<f32>(turn.x, -turn.y));
}
