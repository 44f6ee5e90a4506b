// Eight rows of weights in registers, for kernels that multiply each by several vectors. Written out, without arrays:
// SwiftShader keeps an array that a loop indexes in memory, and reads it lane by lane, at twice the whole kernel's time.
struct Tile {
    b0: Block,
    b1: Block,
    b2: Block,
    b3: Block,
    b4: Block,
    b5: Block,
    b6: Block,
    b7: Block,
}

// Four weights of each row.
struct Quads {
    w0: vec4<f32>,
    w1: vec4<f32>,
    w2: vec4<f32>,
    w3: vec4<f32>,
    w4: vec4<f32>,
    w5: vec4<f32>,
    w6: vec4<f32>,
    w7: vec4<f32>,
}

// One sum for each row.
struct Sums {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Blocks `low` of rows 0 to 3 and `high` of rows 4 to 7.
fn load_tile(low: vec4<u32>, high: vec4<u32>) -> Tile {
    return Tile(
        load_block(low.x), load_block(low.y), load_block(low.z), load_block(low.w),
        load_block(high.x), load_block(high.y), load_block(high.z), load_block(high.w),
    );
}

fn tile_quads(t: Tile, j: u32) -> Quads {
    return Quads(
        block_quad(t.b0, j), block_quad(t.b1, j), block_quad(t.b2, j), block_quad(t.b3, j),
        block_quad(t.b4, j), block_quad(t.b5, j), block_quad(t.b6, j), block_quad(t.b7, j),
    );
}

fn add_dots(s: Sums, w: Quads, v: vec4<f32>) -> Sums {
    let low = vec4<f32>(dot(w.w0, v), dot(w.w1, v), dot(w.w2, v), dot(w.w3, v));
    let high = vec4<f32>(dot(w.w4, v), dot(w.w5, v), dot(w.w6, v), dot(w.w7, v));
    return Sums(s.low + low, s.high + high);
}
