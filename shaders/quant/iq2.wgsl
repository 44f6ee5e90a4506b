// What IQ2_XXS, IQ2_XS and IQ2_S share: magnitudes of 8, 25 and 43 by their places, and scales of four bits.
fn iq2_magnitudes(places: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(8u) + vec4<u32>(17u) * places + (places >> vec4<u32>(1u));
}

// Two scales of four bits in a byte.
fn iq2_scales(d: f32, pair: u32) -> vec2<f32> {
    return d * (0.5 + vec2<f32>((vec2<u32>(pair) >> vec2<u32>(0u, 4u)) & vec2<u32>(15u))) * 0.25;
}
