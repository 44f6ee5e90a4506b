// What the codes of IQ4_NL and IQ4_XS stand for: -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113, four signed
// bytes to a word. Chosen by selections: an index into an array costs more on every adapter tried.
fn uneven(codes: vec4<u32>) -> vec4<f32> {
    let second = (codes & vec4<u32>(4u)) != vec4<u32>(0u);
    let low = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), second);
    let high = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), second);
    let words = select(low, high, codes >= vec4<u32>(8u));
    let bytes = words << (vec4<u32>(24u) - ((codes & vec4<u32>(3u)) << vec4<u32>(3u)));
    return vec4<f32>(bitcast<vec4<i32>>(bytes) >> vec4<u32>(24u));
}
