// The fourth contract of weight formats (see quarter.wgsl), for those that read a whole block all the same.
fn load_quarter(i: u32, j: u32) -> Block {
    return load_block(i);
}

fn quarter_quad(j: u32) -> u32 {
    return j;
}
