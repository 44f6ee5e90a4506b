// y[t] = Σ over 8 chains v ← v · x[8] + x[9], each stepped 16 · n_rounds times from x[chain] + shift(t).
// A probe of multiply-adds in Float (lib/float_*.wgsl): nothing is loaded or stored in the loop, and eight independent
// chains keep the units busy while one result is under way. The factor comes from a buffer, so that no compiler can
// solve the recurrence; it is less than 1, so that rounding does not add up. Steps are written out: loops cost too.
// SALT shifts the starts a little: another SALT is another text, which no cache has compiled before.
struct Params {
    n_rounds: u32,  // rounds of 16 steps
    n_threads: u32, // invocations
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [10]: 8 starts, the factor, the addend
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [n_threads]

@compute @workgroup_size(WORKGROUP)
fn probe_fma(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if thread >= params.n_threads {
        return;
    }
    let shift = f32(thread % 64u) / 64.0 + f32(SALT) / 16777216.0;
    let factor = Float4(Float(x[8]));
    let addend = Float4(Float(x[9]));
    var a = Float4(vec4<f32>(x[0], x[1], x[2], x[3]) + shift);
    var b = Float4(vec4<f32>(x[4], x[5], x[6], x[7]) + shift);
    for (var round = 0u; round < params.n_rounds; round += 1u) {
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
    }
    let sum = vec4<f32>(a) + vec4<f32>(b);
    y[thread] = sum.x + sum.y + sum.z + sum.w;
}
