// Input contract of products: how they read x, here as it is. `at` is where a token's row begins, in vectors of 4.
fn input_row(token: u32) -> u32 {
    return token;
}

fn input_quad(at: u32, i: u32) -> vec4<f32> {
    return x[at + i];
}

// What sums over the whole row are to be multiplied by; for all lanes, once the row was read.
fn input_factor(lane: u32) -> f32 {
    return 1.0;
}

// Leaves what was read for others: of all invocations of a token, number `first` of `n_invocations` writes its share.
fn input_keep(at: u32, token: u32, first: u32, n_invocations: u32, factor: f32) {}
