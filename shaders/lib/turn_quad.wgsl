// Vector number quad of a head, whose last rope_pairs pairs turn to a position, with direction 1, or back from it, with -1: keys were turned
// to theirs, so what attention gives turns back by its token's. The kernel's params have n_quads and rope_pairs; with lib/rope.wgsl.
fn turned_quad(v: vec4<f32>, position: u32, quad: u32, direction: f32) -> vec4<f32> {
    let first = 2u * params.n_quads - params.rope_pairs;
    return vec4<f32>(turned_of(v.xy, position, 2u * quad, first, direction), turned_of(v.zw, position, 2u * quad + 1u, first, direction));
}

fn turned_of(v: vec2<f32>, position: u32, pair: u32, first: u32, direction: f32) -> vec2<f32> {
    if pair < first {
        return v;
    }
    let turn = rope_turn(position, pair - first);
    return rotate_pair(v, vec2<f32>(turn.x, direction * turn.y));
}
