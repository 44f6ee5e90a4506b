// What an invocation sums up (see gemm.wgsl): 4 rows for 4 tokens.
// Written out, without arrays, which some drivers keep in memory.
const ROWS_EACH: u32 = 4u;

struct Sums {
    low0: vec4<f32>,
    low1: vec4<f32>,
    low2: vec4<f32>,
    low3: vec4<f32>,
}

// Adds what one weight of each row and one value of each token give.
fn add_products(s: Sums, w_at: u32, x_at: u32) -> Sums {
    let low = vec4<f32>(w_tile[w_at]);
    let v = vec4<f32>(x_tile[x_at]);
    return Sums(
        fma(low, vec4<f32>(v.x), s.low0),
        fma(low, vec4<f32>(v.y), s.low1),
        fma(low, vec4<f32>(v.z), s.low2),
        fma(low, vec4<f32>(v.w), s.low3),
    );
}

fn write_sums(s: Sums, my_rows: u32, my_tokens: u32) {
    write_four(my_rows, my_tokens * 4u, s.low0);
    write_four(my_rows, my_tokens * 4u + 1u, s.low1);
    write_four(my_rows, my_tokens * 4u + 2u, s.low2);
    write_four(my_rows, my_tokens * 4u + 3u, s.low3);
}
