// The fourth contract of weight formats, for invocations that share a block: `load_quarter(i, j)` reads of block i what quads j and
// j + 4 take, j being 3 at most, and no other words of codes where it can. `quarter_quad(j)` is the place of quad j in what was read.
// Here those are quads 0 and 4 of a block: what stands between them is not asked for.
fn quarter_quad(j: u32) -> u32 {
    return j & 4u;
}
