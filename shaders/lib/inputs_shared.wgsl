// As inputs_own.wgsl, where the invocations of a subgroup, 4 of them at least, want the same: each reads a part, and hands it to the
// others. A program on the CPU reads for one lane after the other, even from one place. Calls must stand in uniform control flow.
fn read_inputs(at: u32, first: u32, local: u32) -> Inputs {
    let lane = local & (min(SUBGROUP, 8u) - 1u);
    let low = input_quad(at, first + lane);
    var high = low;
    if SUBGROUP == 4u {
        high = input_quad(at, first + 4u + lane);
    }
    return inputs(
        subgroupBroadcast(low, 0u), subgroupBroadcast(low, 1u), subgroupBroadcast(low, 2u), subgroupBroadcast(low, 3u),
        subgroupBroadcast(high, 4u % SUBGROUP), subgroupBroadcast(high, 5u % SUBGROUP),
        subgroupBroadcast(high, 6u % SUBGROUP), subgroupBroadcast(high, 7u % SUBGROUP),
    );
}
