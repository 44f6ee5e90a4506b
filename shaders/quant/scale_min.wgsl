// Scale and minimum of sub-block j of 8 whose words of scales begin at `at`: f16 scale and minimum of all, then 6-bit scales
// and minima in 12 bytes (low 4 bits of the last four stand in bytes 8 to 11, their high bits above the first).
fn scale_and_minimum(at: u32, j: u32) -> vec2<f32> {
    let k = (j & 3u) * 8u;
    let first = scales[at + 1u] >> k;
    let second = scales[at + 2u] >> k;
    let third = scales[at + 3u] >> k;
    let late = (j & 4u) != 0u;
    let scale = select(first & 63u, (third & 15u) | ((first >> 2u) & 48u), late);
    let minimum = select(second & 63u, ((third >> 4u) & 15u) | ((second >> 2u) & 48u), late);
    return unpack2x16float(scales[at]) * vec2<f32>(f32(scale), f32(minimum));
}
