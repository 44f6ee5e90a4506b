// Choice contract of slots (see choice_best.wgsl): a table's row for the token's id.
@group(0) @binding(8) var<storage, read> table: array<i32>;  // [N_VOCAB, N_USED]
@group(0) @binding(9) var<storage, read> tokens: array<u32>; // by position

fn choose(token: u32, at: u32, local: u32) {
    let position = min(step.position + token, arrayLength(&tokens) - 1u);
    let id = min(tokens[position], N_VOCAB - 1u);
    for (var k = local; k < N_USED; k += WORKGROUP) {
        slot_ids[k] = u32(max(table[id * N_USED + k], 0));
    }
}
