// Block contract (see block_single.wgsl): a workgroup is the group.
var<workgroup> block_weights: array<f32, BLOCK * HEADS>;

fn block_barrier() {
    workgroupBarrier();
}
