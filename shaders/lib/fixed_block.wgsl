// The change of a block of 32 values to fixed point (see kernels/fixed_point.wgsl). Who uses it has the values, `value_quad(at)` being
// vector `at` of them, and the result, `fixed`.
const FIXED_QUADS: u32 = (2u * PLANES) + 1u;
// The greatest whole number is 1.984375 · 2^PLACES.
const PLACES: u32 = (8u * PLANES) - 2u;

fn packed(bytes: vec4<i32>) -> u32 {
    let b = bitcast<vec4<u32>>(bytes) & vec4<u32>(255u);
    return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}

fn total(v: vec4<i32>) -> u32 {
    return bitcast<u32>(v.x + v.y + v.z + v.w);
}

// Changes the 8 vectors from `at` on to the FIXED_QUADS of the result from `to` on.
fn fix_block(at: u32, to: u32) {
    // Bits without a sign grow with the value, and those of what is no number are the greatest.
    var all = vec4<u32>(0u);
    for (var j = 0u; j < 8u; j += 1u) {
        all = max(all, bitcast<vec4<u32>>(value_quad(at + j)) & vec4<u32>(0x7fffffffu));
    }
    let greatest = max(max(all.x, all.y), max(all.z, all.w));
    let is_finite = greatest < 0x7f800000u;
    // A greater mantissa needs the next exponent.
    let exponent = (greatest >> 23u) + select(0u, 1u, (greatest & 0x7fffffu) > 0x7e0000u);
    let is_scaled = is_finite && exponent > PLACES;
    let inverse = select(0.0, bitcast<f32>((254u + PLACES - exponent) << 23u), is_scaled);
    let unit = select(select(greatest, 0u, is_finite), (exponent - PLACES) << 23u, is_scaled);
    var first_sum = vec4<i32>(0);
    var last_sum = vec4<i32>(0);
    var before = vec2<u32>(0u);
    for (var j = 0u; j < 4u; j += 1u) {
        let first = select(vec4<i32>(0), vec4<i32>(round(value_quad(at + j) * inverse)), is_scaled);
        let last = select(vec4<i32>(0), vec4<i32>(round(value_quad(at + j + 4u) * inverse)), is_scaled);
        first_sum += first;
        last_sum += last;
        if PLANES == 1u {
            let two = vec2<u32>(packed(first), packed(last));
            fixed[to + (j >> 1u)] = select(vec4<u32>(two, 0u, 0u), vec4<u32>(before, two), (j & 1u) == 1u);
            before = two;
            continue;
        }
        let first_high = (first + 128) >> vec4<u32>(8u);
        let last_high = (last + 128) >> vec4<u32>(8u);
        let low = vec2<u32>(packed(first - 256 * first_high), packed(last - 256 * last_high));
        fixed[to + j] = vec4<u32>(packed(first_high), packed(last_high), low);
    }
    fixed[to + (2u * PLANES)] = vec4<u32>(unit, total(first_sum), total(last_sum), 0u);
}
