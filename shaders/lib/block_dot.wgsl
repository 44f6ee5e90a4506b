// A block of weights times 32 activations, which are kept in registers for all rows that they meet. Written out, since
// SwiftShader reads what a loop indexes lane by lane.
struct Inputs {
    x0: vec4<f32>,
    x1: vec4<f32>,
    x2: vec4<f32>,
    x3: vec4<f32>,
    x4: vec4<f32>,
    x5: vec4<f32>,
    x6: vec4<f32>,
    x7: vec4<f32>,
    sum: f32,
}

fn inputs(
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
) -> Inputs {
    let sum = dot(x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7, vec4<f32>(1.0));
    return Inputs(x0, x1, x2, x3, x4, x5, x6, x7, sum);
}

fn block_dot(b: Block, v: Inputs) -> f32 {
    let low = dot(block_codes(b, 0u), v.x0) + dot(block_codes(b, 1u), v.x1)
        + dot(block_codes(b, 2u), v.x2) + dot(block_codes(b, 3u), v.x3);
    let high = dot(block_codes(b, 4u), v.x4) + dot(block_codes(b, 5u), v.x5)
        + dot(block_codes(b, 6u), v.x6) + dot(block_codes(b, 7u), v.x7);
    let affine = block_affine(b);
    return affine.x * (low + high) + affine.y * v.sum;
}

// A quarter of a block times 8 activations, for invocations that share a block: quads j and j + 4 of both.
struct Quarter {
    low: vec4<f32>,
    high: vec4<f32>,
    sum: f32,
}

fn read_quarter(at: u32, block: u32, j: u32) -> Quarter {
    let low = input_quad(at, block * 8u + j);
    let high = input_quad(at, block * 8u + j + 4u);
    return Quarter(low, high, dot(low + high, vec4<f32>(1.0)));
}

fn quarter_dot(b: Block, j: u32, x: Quarter) -> f32 {
    let first = quarter_quad(j);
    let sum = dot(block_codes(b, first), x.low) + dot(block_codes(b, first + 4u), x.high);
    let affine = block_affine(b);
    return affine.x * sum + affine.y * x.sum;
}
