// 512 times the values of the four E4M3 bytes of a word, whole numbers: four bits of exponent, three of mantissa. Without
// an exponent a mantissa has no leading one, and the weight of the smallest exponent.
fn e4m3(word: u32) -> vec4<f32> {
    let codes = (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
    let exponent = (codes >> vec4<u32>(3u)) & vec4<u32>(15u);
    let leading = select(vec4<u32>(8u), vec4<u32>(0u), exponent == vec4<u32>(0u));
    let whole = vec4<f32>(((codes & vec4<u32>(7u)) | leading) << (max(exponent, vec4<u32>(1u)) - 1u));
    return select(whole, -whole, codes >= vec4<u32>(128u));
}
