// Half the value of E4M3 bytes without regard to their signs, for the doubled values 0 to 12; 0x7f, no number, is zero.
fn half_scales(bytes: vec2<u32>) -> vec2<f32> {
    let exponent = (bytes >> vec2<u32>(3u)) & vec2<u32>(15u);
    let leading = select(vec2<u32>(8u), vec2<u32>(0u), exponent == vec2<u32>(0u));
    let whole = ((bytes & vec2<u32>(7u)) | leading) << (max(exponent, vec2<u32>(1u)) - 1u);
    return select(vec2<f32>(whole) / 1024.0, vec2<f32>(0.0), bytes == vec2<u32>(127u));
}
