//! The search that every layer shrinks with: change a value, keep the change if the value still
//! has the property, and stop when the budget is spent.

/// Shrinks a value as long as it keeps a property.
pub(crate) struct Shrinker<F> {
    holds: F,
    budget: u64,
    spent: u64,
    /// How often the property was tested.
    pub(crate) runs: u64,
}

impl<F> Shrinker<F> {
    /// `holds` says whether a value has the property, and what the test cost. The budget is a
    /// sum of these costs, not a time, so that the same value always shrinks to the same result.
    pub(crate) const fn new(budget: u64, holds: F) -> Self {
        Self { holds, budget, spent: 0, runs: 0 }
    }

    /// Whether the budget is spent.
    pub(crate) const fn is_done(&self) -> bool {
        self.spent >= self.budget
    }

    /// Tests the property.
    pub(crate) fn test<T>(&mut self, value: &T) -> bool
    where
        F: FnMut(&T) -> (bool, u64),
    {
        self.runs += 1;
        let (holds, cost) = (self.holds)(value);
        self.spent += cost;
        holds
    }

    /// Keeps a change if the value still has the property. Returns whether it is kept.
    pub(crate) fn attempt<T>(&mut self, value: &mut T, change: impl FnOnce(&mut T)) -> bool
    where
        T: Clone + PartialEq,
        F: FnMut(&T) -> (bool, u64),
    {
        if self.is_done() {
            return false;
        }
        let mut candidate = value.clone();
        change(&mut candidate);
        let kept = candidate != *value && self.test(&candidate);
        if kept {
            *value = candidate;
        }
        kept
    }

    /// Removes ranges of a list (delta debugging): long ranges first, down to single elements.
    pub(crate) fn remove_ranges<T, E>(
        &mut self,
        value: &mut T,
        list: impl Fn(&mut T) -> &mut Vec<E>,
    ) where
        T: Clone + PartialEq,
        F: FnMut(&T) -> (bool, u64),
    {
        let mut length = list(value).len().div_ceil(2);
        while length > 0 {
            let mut from = 0;
            while from < list(value).len() {
                let to = list(value).len().min(from + length);
                if !self.attempt(value, |value| drop(list(value).drain(from..to))) {
                    from = to;
                }
            }
            length /= 2;
        }
    }

    /// Lowers a number by at most `room`: by all of it, else by half, and so on down to 1.
    pub(crate) fn lower<T>(&mut self, value: &mut T, mut room: u64, by: impl Fn(&mut T, u64))
    where
        T: Clone + PartialEq,
        F: FnMut(&T) -> (bool, u64),
    {
        let mut step = room;
        while step > 0 {
            if self.attempt(value, |value| by(value, step)) {
                room -= step;
                step = step.min(room);
            } else {
                step /= 2;
            }
        }
    }
}
