// Blocks whose weights are a nibble times a scale, and something for all of them.
struct Block {
    bytes: vec4<u32>,
    scale: f32,
    minimum: f32,
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * nibble_values(b.bytes, j) + b.minimum;
}
