// Block contract: weights of a block of keys, seen by all lanes of a group. Here one invocation is the group.
var<private> block_weights: array<f32, BLOCK * HEADS>;

fn block_barrier() {
}
