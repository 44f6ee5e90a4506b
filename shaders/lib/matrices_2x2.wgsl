// What a subgroup sums up (see gemm_cooperative.wgsl): 2 by 2 matrices. Written out: no array holds matrices.
// All invocations of the workgroup come here together.
fn multiply_tile(local: u32, n_blocks: u32) {
    let subgroup = local / SUBGROUP;
    let row = subgroup % (TILE_ROWS / ROWS_EACH) * ROWS_EACH;
    let token = subgroup / (TILE_ROWS / ROWS_EACH) * TOKENS_EACH;
    var c00 = MatrixC();
    var c01 = MatrixC();
    var c10 = MatrixC();
    var c11 = MatrixC();
    workgroupBarrier();
    for (var first_quad = 0u; first_quad < n_blocks * 8u; first_quad += TILE_QUADS) {
        bring_tiles(local, first_quad);
        workgroupBarrier();
        for (var k = 0u; k < TILE_DEPTH; k += MATRIX) {
            let a0 = coopLoadT<MatrixA>(&w_tile[row * STRIDE + k], STRIDE);
            let a1 = coopLoadT<MatrixA>(&w_tile[(row + MATRIX) * STRIDE + k], STRIDE);
            let b0 = coopLoad<MatrixB>(&x_tile[token * STRIDE + k], STRIDE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c10 = coopMultiplyAdd(a1, b0, c10);
            let b1 = coopLoad<MatrixB>(&x_tile[(token + MATRIX) * STRIDE + k], STRIDE);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c11 = coopMultiplyAdd(a1, b1, c11);
        }
        workgroupBarrier();
    }
    let patch_at = subgroup * MATRIX * MATRIX;
    coopStore(c00, &patches[patch_at], MATRIX);
    write_patch(local, row, token);
    coopStore(c01, &patches[patch_at], MATRIX);
    write_patch(local, row, token + MATRIX);
    coopStore(c10, &patches[patch_at], MATRIX);
    write_patch(local, row + MATRIX, token);
    coopStore(c11, &patches[patch_at], MATRIX);
    write_patch(local, row + MATRIX, token + MATRIX);
}
