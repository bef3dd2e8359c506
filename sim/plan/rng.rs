//! Chance, by key: what a draw gives depends on the seed, on what is drawn for ([`Domain`]), on
//! the number of the command and on the [`Purpose`] within it; never on what was drawn before.
//!
//! ```text
//! ChaCha8 key    = seed, domain          one keystream per seed and domain …
//! ChaCha8 stream = command               … and command,
//! word           = purpose               and in it one 64-bit word per purpose
//! ```
//!
//! So one more draw in one command changes no other draw anywhere. Sampling is done here and not
//! by `rand`, whose distributions may change between releases; the raw words of ChaCha do not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a keystream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// The world of a seed: stream 0 only.
    World,
    /// The commands of a seed: one stream per command.
    Commands,
    /// What becomes of messages, by the number of the command they are for.
    Network,
}

impl Domain {
    /// Eight bytes of the key. They stay as they are, for seeds to stay what they are.
    const fn tag(self) -> [u8; 8] {
        match self {
            Self::World => *b"world   ",
            Self::Commands => *b"commands",
            Self::Network => *b"network ",
        }
    }
}

/// A place in a command's keystream. Never renumbered: a new purpose takes a new place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose(u16);

impl Purpose {
    /// Which kind of call.
    pub(crate) const KIND: Self = Self(0);
    /// Whose turn it is.
    pub(crate) const CLIENT: Self = Self(1);
    /// How much time passes before it.
    pub(crate) const GAP: Self = Self(2);
    /// Whether the client sends its last call again.
    pub(crate) const RETRY: Self = Self(3);
    /// Which order it is about.
    pub(crate) const TARGET: Self = Self(4);
    /// Who buys.
    pub(crate) const USER: Self = Self(5);
    /// With which key.
    pub(crate) const KEY: Self = Self(6);
    /// How many lines.
    pub(crate) const LINES: Self = Self(7);
    /// Which SKU StocksInfo asks for.
    pub(crate) const SKU: Self = Self(8);
    /// To which rules the operator changes.
    pub(crate) const RULES: Self = Self(9);
    /// Where a line has its two words: SKU and count.
    const FIRST_LINE: u16 = 12;

    /// The SKU of a line, from 0.
    #[must_use]
    pub(crate) const fn line_sku(line: u16) -> Self {
        Self(Self::FIRST_LINE + 2 * line)
    }

    /// The count of a line, from 0.
    #[must_use]
    pub(crate) const fn line_count(line: u16) -> Self {
        Self(Self::FIRST_LINE + 2 * line + 1)
    }

    /// Of a world: the style of its workload.
    pub(crate) const STYLE: Self = Self(63);

    /// A place of a world's own, from 0.
    #[must_use]
    pub(crate) const fn of_world(place: u16) -> Self {
        Self(place)
    }
}

/// Words that ChaCha8 yields in one go, and that are therefore kept at hand.
const AT_HAND: usize = 32;

/// The draws of one command.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    /// At the start of stream 0.
    start: ChaCha8Rng,
    rng: ChaCha8Rng,
    /// The first words of the command's keystream.
    at_hand: [u8; 8 * AT_HAND],
    /// A fault of the simulator's own, for its own test: every purpose gets the same word.
    blind: bool,
}

impl Draws {
    /// The draws of this seed in this domain; those of command 0 to begin with.
    #[must_use]
    pub(crate) fn new(seed: u64, domain: Domain) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&domain.tag());
        let rng = ChaCha8Rng::from_seed(key);
        let mut draws = Self { start: rng.clone(), rng, at_hand: [0; 8 * AT_HAND], blind: false };
        draws.turn_to(0);
        draws
    }

    /// The same, but blind to purposes, as no generator should be.
    #[must_use]
    pub(crate) fn blind(self) -> Self {
        Self { blind: true, ..self }
    }

    /// Turns to the draws of another command.
    pub(crate) fn turn_to(&mut self, command: u64) {
        // Quicker than to set an old one back.
        self.rng = self.start.clone();
        self.rng.set_stream(command);
        self.rng.fill_bytes(&mut self.at_hand);
    }

    /// The chance for this purpose: the same whenever it is asked for.
    #[must_use]
    pub(crate) fn draw(&mut self, purpose: Purpose) -> Draw {
        let place = if self.blind { 0 } else { purpose.0 };
        match self.at_hand.as_chunks().0.get(usize::from(place)) {
            Some(word) => Draw(u64::from_le_bytes(*word)),
            None => {
                // Two words of 32 bits make one of 64.
                self.rng.set_word_pos(2 * u128::from(place));
                Draw(self.rng.next_u64())
            }
        }
    }
}

/// The chance for one purpose: 64 bits, from which a few choices can be made one after another,
/// as long as the product of what they choose among stays far below 2⁶⁴.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// A number below `bound`, which is above 0. Each is as likely as any other, but for a bias
    /// below `bound` / 2⁶⁴.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        let product = u128::from(self.0) * u128::from(bound);
        // The high half is the choice; the low half is what chance is left, as good as new.
        self.0 = self.0.wrapping_mul(bound);
        u64::try_from(product >> 64).expect("the high half of 128 bits is 64 bits")
    }

    /// True in `times` cases `out_of` so many.
    pub(crate) fn chance(&mut self, times: u64, out_of: u64) -> bool {
        self.below(out_of) < times
    }

    /// One of these; there is at least one.
    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.place(among.len())]
    }

    /// A place in a list of this length, which is above 0.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("lengths fit 64 bits");
        usize::try_from(self.below(bound)).expect("a place is below the length")
    }

    /// A place among weights, each as likely as its weight.
    pub(crate) fn weighted<const N: usize>(&mut self, weights: &Weights<N>) -> usize {
        let chosen = self.below(weights.up_to[N - 1]);
        // Counted, not searched: there are a few, and a search would be guessed wrong.
        weights.up_to.iter().map(|&up_to| usize::from(up_to <= chosen)).sum()
    }

    #[cfg(test)]
    pub(crate) fn word(self) -> u64 {
        self.0
    }
}

/// How likely each of `N` choices is, beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weights<const N: usize> {
    /// Each one's weight with those before it.
    up_to: [u64; N],
}

impl<const N: usize> Weights<N> {
    /// These weights, not all of which are 0.
    #[must_use]
    pub(crate) fn new(weights: [u32; N]) -> Self {
        let mut sum = 0;
        let up_to = weights.map(|weight| {
            sum += u64::from(weight);
            sum
        });
        assert!(sum > 0, "nothing can be chosen");
        Self { up_to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(seed: u64, domain: Domain, command: u64) -> [u64; 3] {
        let mut draws = Draws::new(seed, domain);
        draws.turn_to(command);
        [0, 1, 40].map(|place| draws.draw(Purpose(place)).word())
    }

    #[test]
    fn words_are_pinned() {
        // By another implementation of ChaCha8. If one moves, no seed means what it did.
        assert_eq!(
            words(42, Domain::Commands, 0),
            [0x9499_51ce_101a_13b7, 0x1144_4589_2f93_ee03, 0x03f3_3386_7c4e_b4db]
        );
        assert_eq!(
            words(42, Domain::Commands, 7),
            [0x6065_b157_d20c_74b8, 0x6bb4_bf9a_247a_6f26, 0x7297_1c3e_905c_ff8f]
        );
        assert_eq!(
            words(u64::MAX, Domain::World, 0),
            [0x40d0_53a6_b387_ef62, 0x8f02_608b_c60f_2fc6, 0xa4f1_b7f8_9ed5_2748]
        );
    }

    #[test]
    fn choices_are_pinned() {
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
        let choices = [draw.below(6), draw.below(1_000), draw.below(1 << 32)];
        assert_eq!(choices, [3, 708, 875_883_415]);
    }

    #[test]
    fn a_word_depends_on_its_place_alone() {
        let mut draws = Draws::new(7, Domain::Commands);
        draws.turn_to(3);
        let alone = draws.draw(Purpose::LINES).word();
        // Draws of other purposes, other commands, and far ones, in between.
        let _ = draws.draw(Purpose::line_sku(100));
        draws.turn_to(9);
        let _ = draws.draw(Purpose::KIND);
        draws.turn_to(3);
        let _ = draws.draw(Purpose::line_count(50));
        assert_eq!(draws.draw(Purpose::LINES).word(), alone);
        assert_ne!(draws.draw(Purpose::KEY).word(), alone);
    }

    #[test]
    fn near_and_far_words_come_from_one_stream() {
        let mut draws = Draws::new(7, Domain::Commands);
        draws.turn_to(5);
        for place in 0..32 {
            draws.rng.set_word_pos(2 * u128::from(place));
            assert_eq!(draws.rng.next_u64(), draws.draw(Purpose(place)).word());
        }
    }

    #[test]
    fn weights_are_kept() {
        let mut draws = Draws::new(1, Domain::Commands);
        let mut counts = [0; 4];
        for command in 0..10_000 {
            draws.turn_to(command);
            counts[draws.draw(Purpose::KIND).weighted(&Weights::new([1, 0, 2, 1]))] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!(counts[0] > 2_300 && counts[2] > 4_700 && counts[3] > 2_300, "{counts:?}");
    }
}
