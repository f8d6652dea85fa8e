//! Sketches: finding the difference of two large sets with few bytes, by rateless invertible Bloom lookup tables.
//!
//! Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation", SIGCOMM 2024. One side sends coded symbols, each the
//! XOR of some of its elements. The other side removes its own elements from them, so the remaining symbols code the
//! difference alone. A symbol with one element reveals it. Removing that element from the other symbols leaves more of
//! them with one element. The `i`th symbol holds an element with a chance of `1 / (1 + i / 2)`, so some 1.35 to 2
//! symbols for each element of the difference are enough, however large the sets are. Neither side has to know the size
//! of the difference beforehand.

use std::collections::{BTreeSet, VecDeque};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::mutants::{self as mutant, Mutant};
use crate::wire::Symbol;

impl Symbol {
    fn of(element: u64) -> Self {
        let [a, b, c, d, ..] = xxh3_64_with_seed(&element.to_le_bytes(), CHECK_SEED).to_le_bytes();
        Self { sum: element.to_le_bytes(), check: [a, b, c, d], count: 1 }
    }

    fn add(&mut self, other: Self) {
        self.sum = (u64::from_le_bytes(self.sum) ^ u64::from_le_bytes(other.sum)).to_le_bytes();
        self.check =
            (u32::from_le_bytes(self.check) ^ u32::from_le_bytes(other.check)).to_le_bytes();
    }

    fn is_empty(&self) -> bool {
        self.sum == [0; 8] && self.check == [0; 4]
    }

    /// The element in the symbol, if there is exactly one.
    fn element(&self) -> Option<u64> {
        let element = u64::from_le_bytes(self.sum);
        (Self::of(element).check == self.check && !self.is_empty()).then_some(element)
    }
}

const CHECK_SEED: u64 = 0x7265_636f_6e63_696c;
const INDEX_SEED: u64 = 0x7261_7465_6c65_7373;

/// The indices of the symbols that an element is in, one after the other. Every element is in the first symbol, and the
/// gaps grow.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    state: u64,
    index: usize,
}

impl Mapping {
    fn of(element: u64) -> Self {
        Self { state: xxh3_64_with_seed(&element.to_le_bytes(), INDEX_SEED) | 1, index: 0 }
    }

    /// Moves on to the next symbol. The gap is drawn by the inverse of its distribution, as in section 4.2 of the
    /// paper.
    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(0xda94_2042_e4dd_58b5);
        let uniform = ((self.state >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let gap = ((self.index as f64 + 1.5) * (1.0 / uniform.sqrt() - 1.0)).ceil();
        // The cast saturates.
        self.index = self.index.saturating_add((gap as usize).max(1));
    }
}

/// Codes a set, symbol after symbol.
#[derive(Debug)]
pub(crate) struct Encoder {
    elements: Vec<(u64, Mapping)>,
    coded: usize,
}

impl Encoder {
    pub(crate) fn new(elements: impl Iterator<Item = u64>) -> Self {
        Self {
            elements: elements.map(|element| (element, Mapping::of(element))).collect(),
            coded: 0,
        }
    }

    /// The number of symbols that were coded.
    pub(crate) fn coded(&self) -> usize {
        self.coded
    }

    /// Codes the next symbols, in one pass over the elements.
    pub(crate) fn encode(&mut self, count: usize) -> Vec<Symbol> {
        let (start, end) = (self.coded, self.coded.saturating_add(count));
        let mut symbols = vec![Symbol::default(); count];
        for (element, mapping) in &mut self.elements {
            if mapping.index >= end {
                continue;
            }
            let coded = Symbol::of(*element);
            while let Some(symbol) =
                mapping.index.checked_sub(start).and_then(|at| symbols.get_mut(at))
            {
                symbol.add(coded);
                symbol.count = symbol.count.wrapping_add(1);
                mapping.advance();
            }
        }
        self.coded = end;
        symbols
    }
}

/// Removes an element from the symbols that it is in, and calls `changed` with the index of each. Returns its mapping
/// at the next index.
fn take_out(symbols: &mut [Symbol], element: u64, mut changed: impl FnMut(usize)) -> Mapping {
    let mut mapping = Mapping::of(element);
    let coded = Symbol::of(element);
    while let Some(symbol) = symbols.get_mut(mapping.index) {
        symbol.add(coded);
        changed(mapping.index);
        mapping.advance();
    }
    mapping
}

/// The difference of two sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Elements that only we have.
    pub(crate) ours: Vec<u64>,
    /// Elements that only the other side has.
    pub(crate) theirs: Vec<u64>,
}

/// The symbols contradict each other: no set has this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidSymbols;

/// Finds the difference between our set and the set of the other side, from the symbols of the other side.
#[derive(Debug)]
pub(crate) struct Decoder {
    own: Encoder,
    own_elements: BTreeSet<u64>,
    /// The symbols of the elements that differ and are not found yet.
    symbols: Vec<Symbol>,
    /// The number of elements that the other side has more than we in each symbol, modulo 256.
    excess: Vec<i8>,
    /// The elements that were found, each with its mapping beyond the symbols that were received.
    found: Vec<(u64, Mapping)>,
    /// The elements that peeling found, to notice one that is found twice.
    known: BTreeSet<u64>,
}

impl Decoder {
    pub(crate) fn new(elements: impl Iterator<Item = u64> + Clone) -> Self {
        Self {
            own: Encoder::new(elements.clone()),
            own_elements: elements.collect(),
            symbols: Vec::new(),
            excess: Vec::new(),
            found: Vec::new(),
            known: BTreeSet::new(),
        }
    }

    /// The number of symbols that were received.
    pub(crate) fn received(&self) -> usize {
        self.symbols.len()
    }

    /// Takes the next symbols of the other side, and returns the difference once it is known.
    ///
    /// # Errors
    /// An element is found twice, or more elements than symbols. Forged symbols cost no more work than that.
    pub(crate) fn decode(
        &mut self,
        symbols: &[Symbol],
    ) -> Result<Option<Difference>, InvalidSymbols> {
        let start = self.symbols.len();
        for (theirs, ours) in symbols.iter().zip(self.own.encode(symbols.len())) {
            self.excess.push(theirs.count.wrapping_sub(ours.count).cast_signed());
            let mut difference = *theirs;
            difference.add(ours);
            self.symbols.push(difference);
        }
        for (element, mapping) in &mut self.found {
            let coded = Symbol::of(*element);
            while let Some(symbol) = self.symbols.get_mut(mapping.index) {
                symbol.add(coded);
                mapping.advance();
            }
        }
        self.peel(start)?;
        // Every element is in the first symbol, so all are found when it is empty.
        let is_decoded = |symbols: &[Symbol]| symbols.first().is_some_and(Symbol::is_empty);
        if !is_decoded(&self.symbols) {
            self.find_pair();
        }
        Ok(is_decoded(&self.symbols).then(|| self.difference()))
    }

    /// Finds elements that are alone in a symbol, and removes each from the other symbols until no symbol has a single
    /// one. The symbols before `start` were seen already.
    fn peel(&mut self, start: usize) -> Result<(), InvalidSymbols> {
        let mut to_see: VecDeque<usize> = (start..self.symbols.len()).collect();
        // An older symbol reveals nothing new before an element was removed from it.
        while let Some(at) = to_see.pop_front() {
            let Some(element) = self.symbols.get(at).and_then(Symbol::element) else { continue };
            if !self.known.insert(element) || self.found.len() >= self.symbols.len() {
                return Err(InvalidSymbols);
            }
            let mapping = take_out(&mut self.symbols, element, |at| to_see.push_back(at));
            self.found.push((element, mapping));
        }
        Ok(())
    }

    /// Finds the last two elements, if they are one of ours and one of theirs that are alone in no symbol. Each element
    /// of ours is tried: the check shows whether the rest of the first symbol is one element, and the other symbols
    /// confirm the pair.
    fn find_pair(&mut self) {
        let [first, _, ..] = self.symbols[..] else { return };
        for ours in &self.own_elements {
            let mut rest = first;
            rest.add(Symbol::of(*ours));
            let Some(theirs) = rest.element() else { continue };
            let mut symbols = self.symbols.clone();
            let pair = [*ours, theirs].map(|one| (one, take_out(&mut symbols, one, |_| ())));
            if symbols.iter().all(Symbol::is_empty) {
                self.symbols = symbols;
                self.found.extend(pair);
                return;
            }
        }
    }

    fn difference(&self) -> Difference {
        let found = self.found.iter().map(|(element, _)| *element);
        let (mut ours, mut theirs): (Vec<u64>, Vec<u64>) =
            found.partition(|element| self.own_elements.contains(element));
        if mutant::is(Mutant::ForgetLastDifference) {
            ours.pop();
            theirs.pop();
        }
        Difference { ours, theirs }
    }

    /// About how many elements differ when the other side has `others` elements. It follows from how much fuller or
    /// emptier the symbols are than if the sets differed in their size alone.
    pub(crate) fn estimate(&self, others: usize) -> usize {
        let excess = others as f64 - self.own_elements.len() as f64;
        let seen = self.excess.iter().enumerate().skip(1);
        let (mut sum, mut samples) = (0.0, 0.0);
        for (index, seen) in seen {
            let share = 1.0 / (1.0 + index as f64 / 2.0);
            let expected = (excess * share).round() as i64;
            let deviation = f64::from(seen.wrapping_sub(expected as i8));
            sum += deviation * deviation / (share * (1.0 - share));
            samples += 1.0;
        }
        let by_deviation = if samples > 0.0 { sum / samples } else { 0.0 };
        by_deviation.max(excess.abs()) as usize
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{Rng, SeedableRng};

    use super::*;

    struct Sets {
        ours: BTreeSet<u64>,
        theirs: BTreeSet<u64>,
    }

    /// Two sets with `common` shared elements, and with `ours` and `theirs` elements that are in one set only.
    fn sets(common: usize, ours: usize, theirs: usize, seed: u64) -> Sets {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut draw = |count: usize| (0..count).map(|_| rng.next_u64()).collect::<BTreeSet<u64>>();
        let (common, ours, theirs) = (draw(common), draw(ours), draw(theirs));
        Sets { ours: &common | &ours, theirs: &common | &theirs }
    }

    /// Decodes `step` symbols at a time. Returns the number of symbols that it took, and the difference.
    fn sketch_until_decoded(sets: &Sets, step: usize) -> (usize, Difference) {
        let mut encoder = Encoder::new(sets.theirs.iter().copied());
        let mut decoder = Decoder::new(sets.ours.iter().copied());
        loop {
            let symbols = encoder.encode(step);
            if let Some(mut difference) = decoder.decode(&symbols).expect("honest") {
                difference.ours.sort_unstable();
                difference.theirs.sort_unstable();
                return (decoder.received(), difference);
            }
            assert!(decoder.received() < 1_000_000, "never decoded");
        }
    }

    fn expected(sets: &Sets) -> Difference {
        Difference {
            ours: (&sets.ours - &sets.theirs).into_iter().collect(),
            theirs: (&sets.theirs - &sets.ours).into_iter().collect(),
        }
    }

    #[test]
    fn the_difference_is_found_whatever_the_sets() {
        for seed in 0..300 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xabcd);
            let mut draw = |most: u64| (rng.next_u64() % (most + 1)) as usize;
            let sets = sets(draw(200), draw(60), draw(60), seed);
            let step = 1 + seed as usize % 7;
            let (symbols, difference) = sketch_until_decoded(&sets, step);
            assert_eq!(difference, expected(&sets));
            let differ = difference.ours.len() + difference.theirs.len();
            assert!(symbols <= 2 * differ + 24 + step, "{symbols} symbols for {differ}");
        }
    }

    #[test]
    fn the_number_of_symbols_follows_the_difference_and_not_the_sets() {
        for (differ, most) in [(2, 6.0), (20, 1.9), (200, 1.55), (2_000, 1.45)] {
            let runs = if differ > 100 { 3 } else { 30 };
            let symbols: usize = (0..runs)
                .map(|seed| sketch_until_decoded(&sets(10_000, differ / 2, differ / 2, seed), 1).0)
                .sum();
            let each = symbols as f64 / (differ * runs as usize) as f64;
            assert!(each <= most, "{each} symbols for each of {differ}");
        }
    }

    #[test]
    fn equal_sets_are_known_to_be_equal_by_the_first_symbol() {
        let (symbols, difference) = sketch_until_decoded(&sets(1_000, 0, 0, 1), 1);
        assert_eq!((symbols, difference), (1, Difference::default()));
    }

    #[test]
    fn one_element_of_each_side_is_found_by_two_symbols() {
        for seed in 0..50 {
            let (symbols, difference) = sketch_until_decoded(&sets(1_000, 1, 1, seed), 2);
            assert_eq!((symbols, difference.ours.len(), difference.theirs.len()), (2, 1, 1));
        }
    }

    #[test]
    fn symbols_do_not_depend_on_how_they_are_asked_for() {
        let sets = sets(500, 10, 10, 3);
        let mut whole = Encoder::new(sets.ours.iter().copied());
        let mut parts = Encoder::new(sets.ours.iter().rev().copied());
        let together: Vec<Symbol> =
            [1, 5, 0, 30].into_iter().flat_map(|n| parts.encode(n)).collect();
        assert_eq!(together, whole.encode(36));
    }

    #[test]
    fn the_estimate_is_of_the_right_size() {
        for (ours, theirs) in [(5, 5), (100, 100), (1_000, 1_000), (3, 5_000)] {
            let mut sum = 0;
            for seed in 0..20 {
                let sets = sets(2_000, ours, theirs, seed);
                let mut decoder = Decoder::new(sets.ours.iter().copied());
                let symbols = Encoder::new(sets.theirs.iter().copied()).encode(24);
                drop(decoder.decode(&symbols));
                sum += decoder.estimate(sets.theirs.len());
            }
            let (differ, estimate) = (ours + theirs, sum / 20);
            assert!((differ / 2..=2 * differ).contains(&estimate), "{estimate} for {differ}");
        }
    }

    #[test]
    fn decoding_made_up_symbols_ends_and_never_panics() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        for round in 0..200 {
            let mut decoder = Decoder::new((0..50).map(|_| 7).chain([1, 2, 3]));
            for _ in 0..20 {
                let symbols: Vec<Symbol> = (0..30)
                    .map(|n| match (round + n) % 4 {
                        0 => Symbol::of(rng.next_u64() % 8),
                        1 => Symbol::default(),
                        2 => Symbol { count: 200, ..Symbol::of(rng.next_u64()) },
                        _ => Symbol { sum: rng.next_u64().to_le_bytes(), check: [1; 4], count: 0 },
                    })
                    .collect();
                if decoder.decode(&symbols).is_err() {
                    break;
                }
                assert!(decoder.found.len() <= decoder.symbols.len());
                decoder.estimate(usize::MAX);
            }
        }
    }
}
