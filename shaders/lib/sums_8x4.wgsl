// What an invocation sums up (see gemm.wgsl): 8 rows for 4 tokens; the second four rows lie half a tile after the first.
// Written out, without arrays, which some drivers keep in memory.
const ROWS_EACH: u32 = 8u;

struct Sums {
    low0: vec4<f32>,
    low1: vec4<f32>,
    low2: vec4<f32>,
    low3: vec4<f32>,
    high0: vec4<f32>,
    high1: vec4<f32>,
    high2: vec4<f32>,
    high3: vec4<f32>,
}

// Adds what one weight of each row and one value of each token give.
fn add_products(s: Sums, w_at: u32, x_at: u32) -> Sums {
    let low = vec4<f32>(w_tile[w_at]);
    let high = vec4<f32>(w_tile[w_at + ROW_FOURS / 2u]);
    let v = vec4<f32>(x_tile[x_at]);
    return Sums(
        fma(low, vec4<f32>(v.x), s.low0),
        fma(low, vec4<f32>(v.y), s.low1),
        fma(low, vec4<f32>(v.z), s.low2),
        fma(low, vec4<f32>(v.w), s.low3),
        fma(high, vec4<f32>(v.x), s.high0),
        fma(high, vec4<f32>(v.y), s.high1),
        fma(high, vec4<f32>(v.z), s.high2),
        fma(high, vec4<f32>(v.w), s.high3),
    );
}

fn write_sums(s: Sums, my_rows: u32, my_tokens: u32) {
    write_four(my_rows, my_tokens * 4u, s.low0);
    write_four(my_rows, my_tokens * 4u + 1u, s.low1);
    write_four(my_rows, my_tokens * 4u + 2u, s.low2);
    write_four(my_rows, my_tokens * 4u + 3u, s.low3);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u, s.high0);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u + 1u, s.high1);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u + 2u, s.high2);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u + 3u, s.high3);
}
