// The four E4M3 bytes of a word over E4M3_SCALE: four bits of exponent, three of mantissa. Moved to the right places they are the f16 of
// their value times 2^-8, subnormals included, so two of them take one unpacking. Exact, where an adapter does not
// take subnormal f16 for zero; lib/e2m1_bits.wgsl relies on that, too.
const E4M3_SCALE: f32 = 256.0;

fn e4m3_pair(word: u32) -> vec2<f32> {
    return unpack2x16float(((word & 0x007f007fu) << 7u) | ((word & 0x00800080u) << 8u));
}

fn e4m3(word: u32) -> vec4<f32> {
    let even = e4m3_pair(word);
    let odd = e4m3_pair(word >> 8u);
    return vec4<f32>(even.x, odd.x, even.y, odd.y);
}
