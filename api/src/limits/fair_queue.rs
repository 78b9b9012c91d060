//! A queue that serves the access keys in turn, so that nobody waits behind the backlog of another key.

use std::collections::{HashMap, VecDeque};

/// Items in the order in which they came, for each key, and the keys in the order of their turns.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    by_key: HashMap<String, VecDeque<(u64, T)>>,
    /// Keys that have items. One whose items were all removed is skipped when its turn comes.
    turns: VecDeque<String>,
    last: u64,
    len: usize,
}

/// Where an item waits.
#[derive(Debug)]
pub(crate) struct Ticket {
    key: String,
    number: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), turns: VecDeque::new(), last: 0, len: 0 }
    }
}

impl<T> FairQueue<T> {
    pub(crate) fn push(&mut self, key: &str, item: T) -> Ticket {
        self.last += 1;
        self.len += 1;
        let number = self.last;
        if let Some(items) = self.by_key.get_mut(key) {
            items.push_back((number, item));
        } else {
            self.by_key.insert(key.to_owned(), VecDeque::from([(number, item)]));
            self.turns.push_back(key.to_owned());
        }
        Ticket { key: key.to_owned(), number }
    }

    /// The first item of the key whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        while let Some(key) = self.turns.pop_front() {
            let Some(items) = self.by_key.get_mut(&key) else { continue };
            let item = items.pop_front();
            if items.is_empty() {
                self.by_key.remove(&key);
            } else {
                self.turns.push_back(key);
            }
            if let Some((_, item)) = item {
                self.len -= 1;
                return Some(item);
            }
        }
        None
    }

    /// Takes an item out, unless it was popped before.
    pub(crate) fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        let items = self.by_key.get_mut(&ticket.key)?;
        let place = items.binary_search_by_key(&ticket.number, |(number, _)| *number).ok()?;
        self.len -= 1;
        items.remove(place).map(|(_, item)| item)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn keys_take_turns_and_each_keeps_its_order() {
        let mut queue = FairQueue::default();
        for item in ["a1", "a2", "a3", "b1", "c1", "b2"] {
            queue.push(&item[..1], item);
        }
        assert_eq!(queue.len(), 6);
        assert_eq!(drain(&mut queue), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queue.is_empty() && queue.by_key.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn an_item_is_removed_once_and_its_key_keeps_its_turn() {
        let mut queue = FairQueue::default();
        let [a1, a2] = ["a1", "a2"].map(|item| queue.push("a", item));
        let b1 = queue.push("b", "b1");
        assert_eq!(queue.remove(&a1), Some("a1"));
        assert_eq!(queue.remove(&a1), None);
        assert_eq!(queue.remove(&b1), Some("b1"));
        // A key without items left comes back while its old turn is still there: it has one turn, not two.
        queue.push("b", "b2");
        queue.push("b", "b3");
        assert_eq!(drain(&mut queue), ["a2", "b2", "b3"]);
        assert_eq!(queue.remove(&a2), None);
        assert!(queue.is_empty() && queue.by_key.is_empty() && queue.turns.is_empty());
    }
}
