// What a tile in workgroup memory is made of: 16-bit floats, which halve what is stored and read there. What is beyond
// their range is cut off: an infinity would spoil a whole sum. Sums are f32 whatever it is.
alias TileFour = vec4<f16>;
// What the activations are made of.
alias TokenQuad = vec4<f32>;

fn tile_four(v: vec4<f32>) -> TileFour {
    return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
