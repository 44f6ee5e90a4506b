// The product of a tile of rows and a tile of tokens, for kernels of many tokens: a workgroup brings TILE_DEPTH weights of
// TILE_ROWS rows, and as much of TILE_TOKENS tokens, into workgroup memory, so that every weight is decoded once for all
// of its tokens; an invocation sums up some rows for some tokens in registers (sums_*.wgsl).
// The kernel says where rows and tokens begin (w_from, x_from), gives four values of a token (x_quad), and takes four
// rows' sums (write_four). Rows and tokens past the end repeat others; it does not write theirs.
const ROW_FOURS: u32 = TILE_ROWS / 4u;
const TOKEN_FOURS: u32 = TILE_TOKENS / 4u;
const TILE_QUADS: u32 = TILE_DEPTH / 4u;

// [TILE_DEPTH][4 rows, or 4 tokens]. Every four along the depth one more vector lies between: the invocations that bring
// the quads of one row then write to different banks.
var<workgroup> w_tile: array<TileFour, TILE_DEPTH * ROW_FOURS + TILE_QUADS>;
var<workgroup> x_tile: array<TileFour, TILE_DEPTH * TOKEN_FOURS + TILE_QUADS>;
// The first block of each row, and the first vector of each token.
var<workgroup> w_from: array<vec4<u32>, ROW_FOURS>;
var<workgroup> x_from: array<vec4<u32>, TOKEN_FOURS>;

fn quad_of(block: u32, j: u32) -> vec4<f32> {
    return block_quad(load_quarter(block, j & 3u), quarter_quad(j));
}

fn bring_weights(i: u32, first_quad: u32) {
    let quad = i % TILE_QUADS;
    let four = i / TILE_QUADS;
    let blocks = w_from[four] + (first_quad >> 3u);
    let j = (first_quad & 7u) + quad;
    let a = quad_of(blocks.x, j);
    let b = quad_of(blocks.y, j);
    let c = quad_of(blocks.z, j);
    let d = quad_of(blocks.w, j);
    let to = quad * (4u * ROW_FOURS + 1u) + four;
    w_tile[to] = tile_four(vec4<f32>(a.x, b.x, c.x, d.x));
    w_tile[to + ROW_FOURS] = tile_four(vec4<f32>(a.y, b.y, c.y, d.y));
    w_tile[to + 2u * ROW_FOURS] = tile_four(vec4<f32>(a.z, b.z, c.z, d.z));
    w_tile[to + 3u * ROW_FOURS] = tile_four(vec4<f32>(a.w, b.w, c.w, d.w));
}

fn bring_tokens(i: u32, first_quad: u32) {
    let quad = i % TILE_QUADS;
    let four = i / TILE_QUADS;
    let at = x_from[four] + first_quad + quad;
    let a = x_quad(at.x);
    let b = x_quad(at.y);
    let c = x_quad(at.z);
    let d = x_quad(at.w);
    let to = quad * (4u * TOKEN_FOURS + 1u) + four;
    x_tile[to] = tile_four(vec4<f32>(a.x, b.x, c.x, d.x));
    x_tile[to + TOKEN_FOURS] = tile_four(vec4<f32>(a.y, b.y, c.y, d.y));
    x_tile[to + 2u * TOKEN_FOURS] = tile_four(vec4<f32>(a.z, b.z, c.z, d.z));
    x_tile[to + 3u * TOKEN_FOURS] = tile_four(vec4<f32>(a.w, b.w, c.w, d.w));
}

// Sums along rows of n_blocks blocks, and hands them to write_four. All invocations of the workgroup come here together.
fn multiply_tile(local: u32, n_blocks: u32) {
    let my_rows = local % (TILE_ROWS / ROWS_EACH);
    let my_tokens = local / (TILE_ROWS / ROWS_EACH);
    var s: Sums;
    workgroupBarrier();
    for (var first_quad = 0u; first_quad < n_blocks * 8u; first_quad += TILE_QUADS) {
        for (var i = local; i < ROW_FOURS * TILE_QUADS; i += WORKGROUP) {
            bring_weights(i, first_quad);
        }
        for (var i = local; i < TOKEN_FOURS * TILE_QUADS; i += WORKGROUP) {
            bring_tokens(i, first_quad);
        }
        workgroupBarrier();
        for (var i = 0u; i < TILE_DEPTH; i += 1u) {
            s = add_products(s, i * ROW_FOURS + i / 4u + my_rows, i * TOKEN_FOURS + i / 4u + my_tokens);
        }
        workgroupBarrier();
    }
    write_sums(s, my_rows, my_tokens);
}
