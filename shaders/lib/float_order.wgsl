// An integer in the order of the float with these bits; both zeros are one.
fn ordered(bits: u32) -> u32 {
    if bits == 0x80000000u {
        return bits;
    }
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
