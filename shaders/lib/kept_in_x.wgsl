// Keeping contract: a lane goes over its vectors of 4 of a row of n_quads twice, in n_turns() turns, and keeps what it made of
// each the first time. Here in the row of x that becomes the result, of which it reads only its own back.
fn n_turns() -> u32 {
    return (params.n_quads + LANES - 1u) / LANES;
}

fn keep(at: u32, turn: u32, value: vec4<f32>) {
    x[at] = value;
}

fn kept(at: u32, turn: u32) -> vec4<f32> {
    return x[at];
}
