//! Labels of ops.

use std::cell::RefCell;

thread_local! {
    static LABEL: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The label of ops that are applied now.
pub(crate) fn current() -> String {
    LABEL.with_borrow(String::clone)
}

/// Names the ops that are applied inside, for errors and for people who read the program. Labels
/// nest: `outer/inner`.
pub fn label<R>(name: &str, inside: impl FnOnce() -> R) -> R {
    /// Takes the name away again, also on a panic.
    struct Longer(usize);

    impl Drop for Longer {
        fn drop(&mut self) {
            LABEL.with_borrow_mut(|label| label.truncate(self.0));
        }
    }

    let _longer = LABEL.with_borrow_mut(|label| {
        let before = label.len();
        if !label.is_empty() {
            label.push('/');
        }
        label.push_str(name);
        Longer(before)
    });
    inside()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_nest_and_end() {
        let inner = label("block", || label("scores", current));
        assert_eq!((inner.as_str(), current().as_str()), ("block/scores", ""));
    }

    #[test]
    fn labels_end_on_a_panic() {
        let caught = std::panic::catch_unwind(|| label("scores", || panic!("on purpose")));
        assert!(caught.is_err());
        assert_eq!(current(), "");
    }
}
