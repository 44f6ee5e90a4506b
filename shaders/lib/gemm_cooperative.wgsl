// As gemm.wgsl, by cooperative matrices: a workgroup brings rows and tokens into workgroup memory as 16-bit floats, a
// subgroup multiplies whole matrices of them (matrices_*.wgsl). WORKGROUP is a whole number of subgroups.
// Sums leave through a patch of workgroup memory, so that the kernel can leave out rows and tokens past the end.
const ROW_FOURS: u32 = TILE_ROWS / 4u;
const TOKEN_FOURS: u32 = TILE_TOKENS / 4u;
const TILE_QUADS: u32 = TILE_DEPTH / 4u;
// Between rows lie 16 bytes more, so that their loads meet different banks.
const STRIDE: u32 = TILE_DEPTH + 8u;

var<workgroup> w_tile: array<f16, TILE_ROWS * STRIDE>;   // [TILE_ROWS][STRIDE]
var<workgroup> x_tile: array<f16, TILE_TOKENS * STRIDE>; // [TILE_TOKENS][STRIDE]
var<workgroup> patches: array<f32, WORKGROUP / SUBGROUP * MATRIX * MATRIX>; // of each subgroup [token][row]
// The first block of each row, and the first vector of each token.
var<workgroup> w_from: array<vec4<u32>, ROW_FOURS>;
var<workgroup> x_from: array<vec4<u32>, TOKEN_FOURS>;

fn bring_tiles(local: u32, first_quad: u32) {
    for (var i = local; i < TILE_ROWS * TILE_QUADS; i += WORKGROUP) {
        let row = i / TILE_QUADS;
        let quad = first_quad + i % TILE_QUADS;
        let weights = load_quarter(w_from[row / 4u][row & 3u] + (quad >> 3u), quad & 3u);
        let v = tile_four(block_quad(weights, quarter_quad(quad & 7u)));
        let to = row * STRIDE + i % TILE_QUADS * 4u;
        w_tile[to] = v.x;
        w_tile[to + 1u] = v.y;
        w_tile[to + 2u] = v.z;
        w_tile[to + 3u] = v.w;
    }
    for (var i = local; i < TILE_TOKENS * TILE_QUADS; i += WORKGROUP) {
        let token = i / TILE_QUADS;
        let quad = first_quad + i % TILE_QUADS;
        let v = tile_four(x_quad(x_from[token / 4u][token & 3u] + quad));
        let to = token * STRIDE + i % TILE_QUADS * 4u;
        x_tile[to] = v.x;
        x_tile[to + 1u] = v.y;
        x_tile[to + 2u] = v.z;
        x_tile[to + 3u] = v.w;
    }
}

// Hands the sums of a subgroup's patch, which begin at a row and a token of the tile, to the kernel.
fn write_patch(local: u32, row: u32, token: u32) {
    workgroupBarrier();
    let patch_at = local / SUBGROUP * MATRIX * MATRIX;
    for (var i = local % SUBGROUP; i < MATRIX * MATRIX / 4u; i += SUBGROUP) {
        let four = i % (MATRIX / 4u);
        let place = i / (MATRIX / 4u);
        let at = patch_at + place * MATRIX + four * 4u;
        let sums = vec4<f32>(patches[at], patches[at + 1u], patches[at + 2u], patches[at + 3u]);
        write_four(row / 4u + four, token + place, sums);
    }
    workgroupBarrier();
}
