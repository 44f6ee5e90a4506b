// Rotary embedding from a table in two levels, made by kernels/rope.rs; the kernel binds it as
// rope: array<vec2<f32>>, [256 + n_positions / 256, rope_pairs], (cos, sin) of position · frequency[pair]:
// row p < 256 is position p, row 256 + k is position 256 · k. Turns multiply as complex numbers.
fn rotate_pair(v: vec2<f32>, turn: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(v.x * turn.x - v.y * turn.y, v.x * turn.y + v.y * turn.x);
}

fn rope_turn(position: u32, pair: u32) -> vec2<f32> {
    let fine = rope[(position % 256u) * params.rope_pairs + pair];
    let coarse = rope[(256u + position / 256u) * params.rope_pairs + pair];
    return rotate_pair(fine, coarse);
}
