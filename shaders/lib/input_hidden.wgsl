// Input contract of products (see input_plain.wgsl), for what experts leave to their second matrix.
fn input_quad(at: u32, i: u32) -> vec4<f32> {
    return hidden[at + i];
}
