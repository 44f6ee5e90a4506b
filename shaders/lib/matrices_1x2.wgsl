// What a subgroup sums up (see gemm_cooperative.wgsl): 1 by 2 matrices. Written out: no array holds matrices.
// All invocations of the workgroup come here together.
fn multiply_tile(local: u32, n_blocks: u32) {
    let subgroup = local / SUBGROUP;
    let row = subgroup % (TILE_ROWS / ROWS_EACH) * ROWS_EACH;
    let token = subgroup / (TILE_ROWS / ROWS_EACH) * TOKENS_EACH;
    var c00 = MatrixC();
    var c01 = MatrixC();
    workgroupBarrier();
    for (var first_quad = 0u; first_quad < n_blocks * 8u; first_quad += TILE_QUADS) {
        bring_tiles(local, first_quad);
        workgroupBarrier();
        for (var k = 0u; k < TILE_DEPTH; k += MATRIX) {
            let a0 = coopLoadT<MatrixA>(&w_tile[row * STRIDE + k], STRIDE);
            let b0 = coopLoad<MatrixB>(&x_tile[token * STRIDE + k], STRIDE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            let b1 = coopLoad<MatrixB>(&x_tile[(token + MATRIX) * STRIDE + k], STRIDE);
            c01 = coopMultiplyAdd(a0, b1, c01);
        }
        workgroupBarrier();
    }
    let patch_at = subgroup * MATRIX * MATRIX;
    coopStore(c00, &patches[patch_at], MATRIX);
    write_patch(local, row, token);
    coopStore(c01, &patches[patch_at], MATRIX);
    write_patch(local, row, token + MATRIX);
}
