// Finish contract (see finish_plain.wgsl): the row is left in fixed point too, for the products that read it next. Its values are read
// back from where the group wrote them, `value_quad(at)` being vector `at` of all rows.
@group(0) @binding(FIXED_BINDING) var<storage, read_write> fixed: array<vec4<u32>>; // [n_rows, n_quads / 8, FIXED_QUADS]

fn finish_row(row: u32, n_quads: u32, lane: u32, n_lanes: u32) {
    group_wait();
    let n_blocks = n_quads / 8u;
    for (var block = lane; block < n_blocks; block += n_lanes) {
        fix_block(row * n_quads + block * 8u, ((row * n_blocks) + block) * FIXED_QUADS);
    }
}
