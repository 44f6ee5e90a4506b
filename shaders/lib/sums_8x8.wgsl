// What an invocation sums up (see gemm.wgsl): 8 rows for 8 tokens; the second four of each lie half a tile after the first.
// Written out, without arrays, which some drivers keep in memory.
const ROWS_EACH: u32 = 8u;

struct Sums {
    low0: vec4<f32>,
    low1: vec4<f32>,
    low2: vec4<f32>,
    low3: vec4<f32>,
    low4: vec4<f32>,
    low5: vec4<f32>,
    low6: vec4<f32>,
    low7: vec4<f32>,
    high0: vec4<f32>,
    high1: vec4<f32>,
    high2: vec4<f32>,
    high3: vec4<f32>,
    high4: vec4<f32>,
    high5: vec4<f32>,
    high6: vec4<f32>,
    high7: vec4<f32>,
}

// Adds what one weight of each row and one value of each token give.
fn add_products(s: Sums, w_at: u32, x_at: u32) -> Sums {
    let low = vec4<f32>(w_tile[w_at]);
    let high = vec4<f32>(w_tile[w_at + ROW_FOURS / 2u]);
    let v = vec4<f32>(x_tile[x_at]);
    let u = vec4<f32>(x_tile[x_at + TOKEN_FOURS / 2u]);
    return Sums(
        fma(low, vec4<f32>(v.x), s.low0),
        fma(low, vec4<f32>(v.y), s.low1),
        fma(low, vec4<f32>(v.z), s.low2),
        fma(low, vec4<f32>(v.w), s.low3),
        fma(low, vec4<f32>(u.x), s.low4),
        fma(low, vec4<f32>(u.y), s.low5),
        fma(low, vec4<f32>(u.z), s.low6),
        fma(low, vec4<f32>(u.w), s.low7),
        fma(high, vec4<f32>(v.x), s.high0),
        fma(high, vec4<f32>(v.y), s.high1),
        fma(high, vec4<f32>(v.z), s.high2),
        fma(high, vec4<f32>(v.w), s.high3),
        fma(high, vec4<f32>(u.x), s.high4),
        fma(high, vec4<f32>(u.y), s.high5),
        fma(high, vec4<f32>(u.z), s.high6),
        fma(high, vec4<f32>(u.w), s.high7),
    );
}

fn write_sums(s: Sums, my_rows: u32, my_tokens: u32) {
    write_four(my_rows, my_tokens * 4u, s.low0);
    write_four(my_rows, my_tokens * 4u + 1u, s.low1);
    write_four(my_rows, my_tokens * 4u + 2u, s.low2);
    write_four(my_rows, my_tokens * 4u + 3u, s.low3);
    write_four(my_rows, (my_tokens + TOKEN_FOURS / 2u) * 4u, s.low4);
    write_four(my_rows, (my_tokens + TOKEN_FOURS / 2u) * 4u + 1u, s.low5);
    write_four(my_rows, (my_tokens + TOKEN_FOURS / 2u) * 4u + 2u, s.low6);
    write_four(my_rows, (my_tokens + TOKEN_FOURS / 2u) * 4u + 3u, s.low7);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u, s.high0);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u + 1u, s.high1);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u + 2u, s.high2);
    write_four(my_rows + ROW_FOURS / 2u, my_tokens * 4u + 3u, s.high3);
    write_four(my_rows + ROW_FOURS / 2u, (my_tokens + TOKEN_FOURS / 2u) * 4u, s.high4);
    write_four(my_rows + ROW_FOURS / 2u, (my_tokens + TOKEN_FOURS / 2u) * 4u + 1u, s.high5);
    write_four(my_rows + ROW_FOURS / 2u, (my_tokens + TOKEN_FOURS / 2u) * 4u + 2u, s.high6);
    write_four(my_rows + ROW_FOURS / 2u, (my_tokens + TOKEN_FOURS / 2u) * 4u + 3u, s.high7);
}
