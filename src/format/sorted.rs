//! Sorting by one number. The sort itself is the same for all: one of each type's own takes some 4 KB in the page.

/// Sorts by a whole number, the least first; equals stay in their order. For lists of some thousands at most.
pub fn sort<T>(items: &mut [T], key: impl Fn(&T) -> u64) {
    let mut keys: Vec<(u64, usize)> = items.iter().enumerate().map(|(place, item)| (key(item), place)).collect();
    keys.sort_unstable();
    for place in 0..items.len() {
        // Where the item stands now that belongs here: those before it have been moved.
        let mut from = keys[place].1;
        while from < place {
            from = keys[from].1;
        }
        items.swap(place, from);
    }
}

/// The key that puts the least number first, as `total_cmp` orders them.
#[must_use]
pub fn rising(number: f64) -> u64 {
    let bits = number.to_bits();
    if number.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

/// The key that puts the greatest number first.
#[must_use]
pub fn falling(number: f64) -> u64 {
    !rising(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let numbers = [3.0, -1.0, 0.0, -0.0, f64::NAN, 2.5, -1.0, f64::INFINITY, 3.0, f64::NEG_INFINITY, 1e-300];
        for n in 0..numbers.len() {
            let mut ours: Vec<(f64, usize)> = numbers[..n].iter().copied().zip(0..).collect();
            let (mut theirs, mut fallen, mut falls) = (ours.clone(), ours.clone(), ours.clone());
            theirs.sort_by(|a, b| a.0.total_cmp(&b.0));
            sort(&mut ours, |item| rising(item.0));
            let places = |items: &[(f64, usize)]| items.iter().map(|item| item.1).collect::<Vec<_>>();
            assert_eq!(places(&ours), places(&theirs));
            falls.sort_by(|a, b| b.0.total_cmp(&a.0));
            sort(&mut fallen, |item| falling(item.0));
            assert_eq!(places(&fallen), places(&falls));
        }
    }
}
