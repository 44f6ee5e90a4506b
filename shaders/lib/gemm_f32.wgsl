// What a tile in workgroup memory is made of: 32-bit floats. Sums are f32 whatever it is.
alias TileFour = vec4<f32>;
// What the activations are made of.
alias TokenQuad = vec4<f32>;

fn tile_four(v: vec4<f32>) -> TileFour {
    return v;
}
