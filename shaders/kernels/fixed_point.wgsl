// x in fixed point, for kernels that multiply by packed dot products. Each block of 32 values becomes v · 2^e, with whole v of
// at most 32512 = 127 · 256 in two planes of signed bytes, v = 256 · high + low, and the least e by which that holds. A power of
// two makes every step exact, so that all adapters round alike; half a unit is at most 1/32512 of the block's greatest value.
// A block of the result is five vectors of words:
//   j = 0 … 3: high bytes of values 4j to 4j+3, high bytes of 16+4j to 16+4j+3, and the low bytes of both;
//   then 2^e, Σ v over the first 16 values, Σ v over the last 16, and 0.
// A block with an infinity or what is no number has that for 2^e. An invocation takes a block.
struct Params {
    n_blocks: u32,     // blocks of 32 values in a row
    x_stride: u32,     // vectors of 4 from token to token in x
    n_rows: u32,       // rows of a token
    row_stride: u32,   // vectors of 4 from row to row in x
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [n_tokens, n_rows, n_blocks, 8]
@group(0) @binding(3) var<storage, read_write> fixed: array<vec4<u32>>; // [n_tokens, n_rows, n_blocks, 5]

fn packed(bytes: vec4<i32>) -> u32 {
    let b = bitcast<vec4<u32>>(bytes) & vec4<u32>(255u);
    return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}

fn total(v: vec4<i32>) -> u32 {
    return bitcast<u32>(v.x + v.y + v.z + v.w);
}

@compute @workgroup_size(WORKGROUP)
fn fixed_point(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let row = thread / params.n_blocks;
    let token = row / params.n_rows;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let at = token * params.x_stride + (row % params.n_rows) * params.row_stride + (thread % params.n_blocks) * 8u;
    // Bits without a sign grow with the value, and those of what is no number are the greatest.
    var all = vec4<u32>(0u);
    for (var j = 0u; j < 8u; j += 1u) {
        all = max(all, bitcast<vec4<u32>>(x[at + j]) & vec4<u32>(0x7fffffffu));
    }
    let greatest = max(max(all.x, all.y), max(all.z, all.w));
    let is_finite = greatest < 0x7f800000u;
    // 32512 is 1.984375 · 2^14: a greater mantissa needs the next exponent.
    let exponent = (greatest >> 23u) + select(0u, 1u, (greatest & 0x7fffffu) > 0x7e0000u);
    let is_scaled = is_finite && exponent > 14u;
    let inverse = select(0.0, bitcast<f32>((268u - exponent) << 23u), is_scaled);
    let unit = select(select(greatest, 0u, is_finite), (exponent - 14u) << 23u, is_scaled);
    var first_sum = vec4<i32>(0);
    var last_sum = vec4<i32>(0);
    for (var j = 0u; j < 4u; j += 1u) {
        let first = select(vec4<i32>(0), vec4<i32>(round(x[at + j] * inverse)), is_scaled);
        let last = select(vec4<i32>(0), vec4<i32>(round(x[at + j + 4u] * inverse)), is_scaled);
        first_sum += first;
        last_sum += last;
        let first_high = (first + 128) >> vec4<u32>(8u);
        let last_high = (last + 128) >> vec4<u32>(8u);
        let low = vec2<u32>(packed(first - 256 * first_high), packed(last - 256 * last_high));
        fixed[thread * 5u + j] = vec4<u32>(packed(first_high), packed(last_high), low);
    }
    fixed[thread * 5u + 4u] = vec4<u32>(unit, total(first_sum), total(last_sum), 0u);
}
