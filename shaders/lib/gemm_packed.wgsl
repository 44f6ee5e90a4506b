// The product of a tile of rows and a tile of tokens, as gemm.wgsl, by packed dot products: a workgroup brings the codes of a block of
// 32 weights of TILE_ROWS rows, four to a word, and as much of TILE_TOKENS tokens in fixed point (see kernels/fixed_point.wgsl). An
// invocation sums up 4 rows for 4 tokens, exactly over each half of a block.
// With d_h = Σ code · v and v_h = Σ v over half h of a block, every format's block_sum is Σ_h scale_h · d_h + offset_h · v_h; which
// scales and offsets a block has is asked of block_sum itself.
alias TokenQuad = vec4<u32>;

const ROW_FOURS: u32 = TILE_ROWS / 4u;
const TOKEN_FOURS: u32 = TILE_TOKENS / 4u;
const FIXED_QUADS: u32 = (2u * PLANES) + 1u;

// [8 words of a block][4 rows], and of each plane [8 words][4 tokens].
var<workgroup> w_words: array<vec4<u32>, 8u * ROW_FOURS>;
var<workgroup> x_words: array<vec4<u32>, 8u * PLANES * TOKEN_FOURS>;
// Of each block: the scales of its halves, and their offsets; its unit, and the sums of its halves in that unit.
var<workgroup> w_factors: array<vec4<f32>, 4u * ROW_FOURS>;
var<workgroup> x_factors: array<vec4<f32>, 3u * TOKEN_FOURS>;
// The first block of each row, and the first vector of each token.
var<workgroup> w_from: array<vec4<u32>, ROW_FOURS>;
var<workgroup> x_from: array<vec4<u32>, TOKEN_FOURS>;

fn bring_weights(i: u32, block: u32) {
    let j = i & 7u;
    let four = i >> 3u;
    let blocks = w_from[four] + block;
    let a = load_quarter(blocks.x, j & 3u);
    let b = load_quarter(blocks.y, j & 3u);
    let c = load_quarter(blocks.z, j & 3u);
    let d = load_quarter(blocks.w, j & 3u);
    let quad = quarter_quad(j);
    let to = (j * ROW_FOURS) + four;
    w_words[to] = vec4<u32>(block_word(a, quad), block_word(b, quad), block_word(c, quad), block_word(d, quad));
    if j < 4u {
        let n = vec4<i32>(vec4<u32>(j) == vec4<u32>(0u, 1u, 2u, 3u));
        w_factors[to] = vec4<f32>(
            block_sum(a, n.xy, n.zw), block_sum(b, n.xy, n.zw), block_sum(c, n.xy, n.zw), block_sum(d, n.xy, n.zw),
        );
    }
}

// Word j of a plane of the block from `at` on.
fn fixed_word(at: u32, plane: u32, j: u32) -> u32 {
    let part = j >> 2u;
    let quad = j & 3u;
    if PLANES == 2u {
        return x_quad(at + quad)[(2u * plane) + part];
    }
    return x_quad(at + (quad >> 1u))[(2u * (quad & 1u)) + part];
}

fn bring_tokens(i: u32, block: u32) {
    let j = i & 7u;
    let four = i >> 3u;
    let at = x_from[four] + (block * FIXED_QUADS);
    for (var plane = 0u; plane < PLANES; plane += 1u) {
        x_words[(((plane * 8u) + j) * TOKEN_FOURS) + four] = vec4<u32>(
            fixed_word(at.x, plane, j), fixed_word(at.y, plane, j), fixed_word(at.z, plane, j), fixed_word(at.w, plane, j),
        );
    }
    if j < 3u {
        let heads = at + (2u * PLANES);
        let a = x_quad(heads.x);
        let b = x_quad(heads.y);
        let c = x_quad(heads.z);
        let d = x_quad(heads.w);
        let units = bitcast<vec4<f32>>(vec4<u32>(a.x, b.x, c.x, d.x));
        let sums = bitcast<vec4<i32>>(vec4<u32>(a[j], b[j], c[j], d[j]));
        x_factors[(j * TOKEN_FOURS) + four] = select(units * vec4<f32>(sums), units, j == 0u);
    }
}

// Products of a word of each of four rows and one of a token.
fn row_dots(w: vec4<u32>, v: u32) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(w.x, v), dot4I8Packed(w.y, v), dot4I8Packed(w.z, v), dot4I8Packed(w.w, v));
}

// Sums along rows of n_blocks blocks, and hands them to write_four. All invocations of the workgroup come here together.
fn multiply_tile(local: u32, n_blocks: u32) {
    let my_rows = local % ROW_FOURS;
    let my_tokens = local / ROW_FOURS;
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    workgroupBarrier();
    for (var block = 0u; block < n_blocks; block += 1u) {
        for (var i = local; i < ROW_FOURS * 8u; i += WORKGROUP) {
            bring_weights(i, block);
        }
        for (var i = local; i < TOKEN_FOURS * 8u; i += WORKGROUP) {
            bring_tokens(i, block);
        }
        workgroupBarrier();
        let units = x_factors[my_tokens];
        for (var part = 0u; part < 2u; part += 1u) {
            var d0 = vec4<i32>(0);
            var d1 = vec4<i32>(0);
            var d2 = vec4<i32>(0);
            var d3 = vec4<i32>(0);
            for (var plane = 0u; plane < PLANES; plane += 1u) {
                // High bytes, which come first, count 256 times.
                d0 *= 256;
                d1 *= 256;
                d2 *= 256;
                d3 *= 256;
                for (var quad = 0u; quad < 4u; quad += 1u) {
                    let j = (part * 4u) + quad;
                    let w = w_words[(j * ROW_FOURS) + my_rows];
                    let v = x_words[(((plane * 8u) + j) * TOKEN_FOURS) + my_tokens];
                    d0 += row_dots(w, v.x);
                    d1 += row_dots(w, v.y);
                    d2 += row_dots(w, v.z);
                    d3 += row_dots(w, v.w);
                }
            }
            let scales = w_factors[(part * ROW_FOURS) + my_rows];
            let offsets = w_factors[((2u + part) * ROW_FOURS) + my_rows];
            let sums = x_factors[((1u + part) * TOKEN_FOURS) + my_tokens];
            s0 += (scales * (units.x * vec4<f32>(d0))) + (offsets * sums.x);
            s1 += (scales * (units.y * vec4<f32>(d1))) + (offsets * sums.y);
            s2 += (scales * (units.z * vec4<f32>(d2))) + (offsets * sums.z);
            s3 += (scales * (units.w * vec4<f32>(d3))) + (offsets * sums.w);
        }
        workgroupBarrier();
    }
    write_four(my_rows, my_tokens * 4u, s0);
    write_four(my_rows, (my_tokens * 4u) + 1u, s1);
    write_four(my_rows, (my_tokens * 4u) + 2u, s2);
    write_four(my_rows, (my_tokens * 4u) + 3u, s3);
}
