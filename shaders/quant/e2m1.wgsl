// Twice the value of an E2M1 code: 0 1 2 3 4 6 8 12 and their negatives.
fn doubled(codes: vec4<u32>) -> vec4<f32> {
    let magnitude = codes & vec4<u32>(7u);
    let exponent = max(magnitude >> vec4<u32>(1u), vec4<u32>(1u)) - 1u;
    let mantissa = select((magnitude & vec4<u32>(1u)) + 2u, magnitude, magnitude < vec4<u32>(2u));
    let value = vec4<f32>(mantissa << exponent);
    return select(value, -value, codes >= vec4<u32>(8u));
}
