//! Keyed randomness: a draw depends on the seed, the [`Domain`], the number of the command and the
//! [`Purpose`] within it, and never on earlier draws.
//!
//! ```text
//! ChaCha8 key    = seed, domain          one keystream per seed and domain …
//! ChaCha8 stream = command               … and command,
//! word           = purpose               and in it one 64-bit word per purpose
//! ```
//!
//! So one more draw in one command changes no other draw. Sampling is implemented here and not by
//! `rand`, whose distributions may change between releases; the raw words of ChaCha do not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The use of a keystream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// The world of a seed: only stream 0.
    World,
    /// The commands of a seed: one stream per command.
    Commands,
    /// Network faults, by the number of the command.
    Network,
    /// What the service layer changes in a plan, by the number of the command.
    Edge,
}

impl Domain {
    /// Eight bytes of the key. They never change, because seeds depend on them.
    const fn tag(self) -> [u8; 8] {
        match self {
            Self::World => *b"world   ",
            Self::Commands => *b"commands",
            Self::Network => *b"network ",
            Self::Edge => *b"edge    ",
        }
    }
}

/// The position of a draw in a command's keystream. A position is never reused: a new purpose takes
/// a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose(u16);

impl Purpose {
    /// The kind of call.
    pub(crate) const KIND: Self = Self(0);
    /// The client.
    pub(crate) const CLIENT: Self = Self(1);
    /// The time before the command.
    pub(crate) const GAP: Self = Self(2);
    /// Whether the client repeats its last call.
    pub(crate) const RETRY: Self = Self(3);
    /// The order.
    pub(crate) const TARGET: Self = Self(4);
    /// The user.
    pub(crate) const USER: Self = Self(5);
    /// The key.
    pub(crate) const KEY: Self = Self(6);
    /// The number of lines.
    pub(crate) const LINES: Self = Self(7);
    /// The SKU of StocksInfo.
    pub(crate) const SKU: Self = Self(8);
    /// The new rules of a change.
    pub(crate) const RULES: Self = Self(9);
    /// Whether the customer abandons the order.
    pub(crate) const ABANDON: Self = Self(10);
    /// The new limits of a change of the rules.
    pub(crate) const LIMITS: Self = Self(11);
    /// The first position for lines; each line takes two: SKU and count.
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

    /// Whether the workload is large, among the draws of the world.
    pub(crate) const LARGE: Self = Self(61);

    /// The sizes of the containers, among the draws of the world.
    pub(crate) const SIZES: Self = Self(62);

    /// The style of the workload, among the draws of the world.
    pub(crate) const STYLE: Self = Self(63);

    /// A position for a draw of the world, from 0.
    #[must_use]
    pub(crate) const fn of_world(place: u16) -> Self {
        Self(place)
    }
}

/// Number of words that ChaCha8 generates at once: a page.
const PAGE: u16 = 32;

/// The bytes of a page.
type Page = [u8; 8 * PAGE as usize];

/// The draws of one command.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    rng: ChaCha8Rng,
    /// The first page of the command's keystream. Every command needs it, and an order with many
    /// lines needs it again for each line.
    first: Page,
    /// The last page that was read after the first one, and its number; 0 for none.
    later: Page,
    page: u16,
    /// An injected fault: every purpose gets the same word.
    blind: bool,
}

impl Draws {
    /// The draws of this seed in this domain, at command 0.
    #[must_use]
    pub(crate) fn new(seed: u64, domain: Domain) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&domain.tag());
        let rng = ChaCha8Rng::from_seed(key);
        let empty = [0; 8 * PAGE as usize];
        let mut draws = Self { rng, first: empty, later: empty, page: 0, blind: false };
        draws.turn_to(0);
        draws
    }

    /// The same with the injected fault that ignores purposes.
    #[must_use]
    pub(crate) fn blind(self) -> Self {
        Self { blind: true, ..self }
    }

    /// Moves to the draws of another command.
    pub(crate) fn turn_to(&mut self, command: u64) {
        // In this order: at the start of a block, a change of the stream generates nothing.
        self.rng.set_word_pos(0);
        self.rng.set_stream(command);
        self.rng.fill_bytes(&mut self.first);
        self.page = 0;
    }

    /// The draw for this purpose: always the same.
    #[must_use]
    pub(crate) fn draw(&mut self, purpose: Purpose) -> Draw {
        let place = if self.blind { 0 } else { purpose.0 };
        let page = if place < PAGE { &self.first } else { self.later_page(place / PAGE) };
        Draw(u64::from_le_bytes(page.as_chunks().0[usize::from(place % PAGE)]))
    }

    /// A page of the command's keystream after the first one.
    fn later_page(&mut self, page: u16) -> &Page {
        if page != self.page {
            self.page = page;
            // A word of 64 bits is two words of ChaCha.
            self.rng.set_word_pos(2 * u128::from(page * PAGE));
            self.rng.fill_bytes(&mut self.later);
        }
        &self.later
    }
}

/// The draw for one purpose: 64 bits. Several choices can be made from it, as long as the product
/// of their numbers of alternatives stays far below 2⁶⁴.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// A number below `bound`, which must be above 0. All are equally likely, except for a bias
    /// below `bound` / 2⁶⁴.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a bound must be above 0");
        let product = u128::from(self.0) * u128::from(bound);
        // The high half is the choice; the low half is the remaining randomness.
        self.0 = self.0.wrapping_mul(bound);
        u64::try_from(product >> 64).expect("the high half of 128 bits is 64 bits")
    }

    /// True with probability `times` / `out_of`.
    pub(crate) fn chance(&mut self, times: u64, out_of: u64) -> bool {
        self.below(out_of) < times
    }

    /// One of these; the list must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.place(among.len())]
    }

    /// An index into a list of this length, which must be above 0.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("lengths fit 64 bits");
        usize::try_from(self.below(bound)).expect("a place is below the length")
    }

    /// A random index, with these weights.
    pub(crate) fn weighted<const N: usize>(&mut self, weights: &Weights<N>) -> usize {
        let chosen = self.below(weights.up_to[N - 1]);
        // A linear scan: the list is short, and the branches of a search would be unpredictable.
        weights.up_to.iter().map(|&up_to| usize::from(up_to <= chosen)).sum()
    }

    #[cfg(test)]
    pub(crate) fn word(self) -> u64 {
        self.0
    }
}

/// The weights of `N` choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weights<const N: usize> {
    /// Cumulative weights.
    up_to: [u64; N],
}

impl<const N: usize> Weights<N> {
    /// From these weights, of which at least one is not 0.
    #[must_use]
    pub(crate) fn new(weights: [u32; N]) -> Self {
        let mut sum = 0;
        let up_to = weights.map(|weight| {
            sum += u64::from(weight);
            sum
        });
        assert!(sum > 0, "all weights are 0");
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
    fn words_never_change() {
        // Computed by another implementation of ChaCha8. If one changes, all seeds change.
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
    fn choices_never_change() {
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
        let choices = [draw.below(6), draw.below(1_000), draw.below(1 << 32)];
        assert_eq!(choices, [3, 708, 875_883_415]);
    }

    #[test]
    fn a_word_depends_only_on_its_position() {
        let mut draws = Draws::new(7, Domain::Commands);
        draws.turn_to(3);
        let alone = draws.draw(Purpose::LINES).word();
        // Draws of other purposes and other commands in between.
        let _ = draws.draw(Purpose::line_sku(100));
        draws.turn_to(9);
        let _ = draws.draw(Purpose::KIND);
        draws.turn_to(3);
        let _ = draws.draw(Purpose::line_count(50));
        assert_eq!(draws.draw(Purpose::LINES).word(), alone);
        assert_ne!(draws.draw(Purpose::KEY).word(), alone);
    }

    #[test]
    fn cached_and_later_words_come_from_one_stream() {
        let mut draws = Draws::new(7, Domain::Commands);
        draws.turn_to(5);
        for place in 0..32 {
            draws.rng.set_word_pos(2 * u128::from(place));
            assert_eq!(draws.rng.next_u64(), draws.draw(Purpose(place)).word());
        }
    }

    #[test]
    fn choices_follow_their_weights() {
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
