//! Counts and fingerprints of runs.

use crate::coverage::marks::MarkSet;
use crate::model::contract::Answer;
use crate::plan::Kind;
use crate::report::answers::Class;
use crate::report::fingerprint::Fingerprint;

/// Counts and fingerprints of one run or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Number of checked commands.
    pub(crate) commands: u64,
    /// Number of orders, including failed ones.
    pub(crate) orders: u64,
    /// Number of paid orders.
    pub(crate) paid: u64,
    /// Number of orders that a client cancelled.
    pub(crate) cancelled: u64,
    /// Number of expired orders.
    pub(crate) expired: u64,
    /// The marks that were reached.
    pub(crate) marks: MarkSet,
    /// Number of answers by kind of call and class of answer.
    answers: [[u64; Class::COUNT]; Kind::ALL.len()],
    /// A fingerprint of all answers to each kind of call.
    pub(crate) families: [Fingerprint; Kind::ALL.len()],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            commands: 0,
            orders: 0,
            paid: 0,
            cancelled: 0,
            expired: 0,
            marks: MarkSet::default(),
            answers: [[0; Class::COUNT]; Kind::ALL.len()],
            families: [Fingerprint::default(); Kind::ALL.len()],
        }
    }
}

impl Counts {
    /// Counts an answer.
    pub(crate) fn note(&mut self, kind: Kind, answer: &Answer) {
        self.commands += 1;
        self.answers[kind.place()][Class::of(Some(answer)).index()] += 1;
        self.families[kind.place()].answer(answer);
    }

    /// How many calls of this kind had this class of answer.
    #[must_use]
    pub(crate) const fn count(&self, kind: Kind, class: Class) -> u64 {
        self.answers[kind.place()][class.index()]
    }

    /// The counts of each class of answer to this kind of call, without zeros.
    #[must_use]
    pub(crate) fn by_class(&self, kind: Kind) -> Vec<String> {
        Class::all()
            .map(|class| (class, self.count(kind, class)))
            .filter(|&(_, count)| count > 0)
            .map(|(class, count)| format!("{count} {}", class.name()))
            .collect()
    }

    /// How many calls were refused.
    #[must_use]
    pub(crate) fn refused(&self) -> u64 {
        let refusals = Class::all().filter(|class| class.is_refusal());
        refusals.map(|class| self.answers.iter().map(|kind| kind[class.index()]).sum::<u64>()).sum()
    }

    /// One fingerprint of all answers.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut all = Fingerprint::default();
        self.families.iter().for_each(|family| all.word(family.get()));
        all
    }

    /// Adds the next run.
    pub(crate) fn add(&mut self, next: &Self) {
        self.commands += next.commands;
        self.orders += next.orders;
        self.paid += next.paid;
        self.cancelled += next.cancelled;
        self.expired += next.expired;
        self.marks = self.marks.and(next.marks);
        for (mine, more) in
            self.answers.as_flattened_mut().iter_mut().zip(next.answers.as_flattened())
        {
            *mine += more;
        }
        for (mine, more) in self.families.iter_mut().zip(&next.families) {
            mine.word(more.get());
        }
    }
}
