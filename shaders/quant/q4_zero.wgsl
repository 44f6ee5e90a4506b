// Weight-format contract, see q4_1.wgsl.
// Q4_ZERO: as Q4_1, with the code that means 0 in place of the minimum.
fn load_block(i: u32) -> Block {
    let pair = unpack2x16float(scales[i]);
    return Block(quants[i], pair.x, -pair.x * pair.y);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let pair = unpack2x16float(scales[i]);
    return Block(vec4<u32>(quants[i][j]), pair.x, -pair.x * pair.y);
}
