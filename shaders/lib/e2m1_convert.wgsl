// E2M1 codes as floats: `e2m1_codes(bytes, j)` times E2M1_SCALE are twice the values of quad j. Here by shifts and a
// conversion.
const E2M1_SCALE: f32 = 1.0;

fn e2m1_codes(bytes: vec4<u32>, j: u32) -> vec4<f32> {
    return doubled(nibbles(bytes, j));
}
