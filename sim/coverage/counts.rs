//! What came of a run, in numbers.

use crate::coverage::marks::MarkSet;
use crate::model::contract::Answer;
use crate::plan::Kind;
use crate::report::fingerprint::Fingerprint;
use crate::report::words::Class;

/// Counts and fingerprints of a run, or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Commands that were checked.
    pub(crate) commands: u64,
    /// Orders that were stored.
    pub(crate) orders: u64,
    /// Orders that were paid.
    pub(crate) paid: u64,
    /// Orders that a client cancelled.
    pub(crate) cancelled: u64,
    /// Orders that expired.
    pub(crate) expired: u64,
    /// The marks that were reached.
    pub(crate) marks: MarkSet,
    /// Answers by kind of call and class.
    answers: [[u64; Class::COUNT]; Kind::ALL.len()],
    /// What was answered, call by call, for each kind.
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
    /// A call was answered.
    pub(crate) fn note(&mut self, kind: Kind, answer: &Answer) {
        self.commands += 1;
        self.answers[kind.place()][Class::of(Some(answer)).index()] += 1;
        self.families[kind.place()].answer(answer);
    }

    /// How many calls of this kind were answered so.
    #[must_use]
    pub(crate) const fn count(&self, kind: Kind, class: Class) -> u64 {
        self.answers[kind.place()][class.index()]
    }

    /// How many calls of this kind were answered how, where there were any.
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

    /// One fingerprint for all that was answered.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut all = Fingerprint::default();
        self.families.iter().for_each(|family| all.word(family.get()));
        all
    }

    /// Adds what came of the next run.
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
