// y[t] = Σ over 8 chains v ← dot(bytes of v, bytes of x[8]) + x[9], each stepped 8 · n_rounds times from x[chain] + t.
// A probe of packed dot products of four signed 8-bit integers, where the language has them: one step is one instruction
// on GPUs that multiply so. Built like probe_fma: eight independent chains, steps written out, nothing known to the
// compiler. Integers, so every result is exact. Sums wrap around.
struct Params {
    n_rounds: u32,  // rounds of 8 steps
    n_threads: u32, // invocations
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;       // [10]: 8 starts, the factor, the addend
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // [n_threads]

@compute @workgroup_size(WORKGROUP)
fn probe_dot(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if thread >= params.n_threads {
        return;
    }
    let factor = x[8];
    let addend = bitcast<i32>(x[9]);
    var a0 = bitcast<i32>(x[0] + thread);
    var a1 = bitcast<i32>(x[1] + thread);
    var a2 = bitcast<i32>(x[2] + thread);
    var a3 = bitcast<i32>(x[3] + thread);
    var a4 = bitcast<i32>(x[4] + thread);
    var a5 = bitcast<i32>(x[5] + thread);
    var a6 = bitcast<i32>(x[6] + thread);
    var a7 = bitcast<i32>(x[7] + thread);
    for (var round = 0u; round < params.n_rounds; round += 1u) {
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
        a0 = dot4I8Packed(bitcast<u32>(a0), factor) + addend;
        a1 = dot4I8Packed(bitcast<u32>(a1), factor) + addend;
        a2 = dot4I8Packed(bitcast<u32>(a2), factor) + addend;
        a3 = dot4I8Packed(bitcast<u32>(a3), factor) + addend;
        a4 = dot4I8Packed(bitcast<u32>(a4), factor) + addend;
        a5 = dot4I8Packed(bitcast<u32>(a5), factor) + addend;
        a6 = dot4I8Packed(bitcast<u32>(a6), factor) + addend;
        a7 = dot4I8Packed(bitcast<u32>(a7), factor) + addend;
    }
    y[thread] = bitcast<u32>(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7);
}
