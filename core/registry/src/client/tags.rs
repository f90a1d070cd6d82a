//! The tags of a repository, which registries tell page by page.

use std::collections::BTreeSet;

use crate::error::RegistryError;

/// How many tags a registry is asked for at a time. It may send fewer.
pub(super) const PAGE: usize = 1000;

/// How many tags are read.
const MOST: usize = 100_000;

/// All tags, of pages that follow a tag each. Some registries send everything each time.
pub(super) async fn all(
    page: impl AsyncFn(Option<String>) -> Result<Vec<String>, RegistryError>,
) -> Result<BTreeSet<String>, RegistryError> {
    let mut tags = BTreeSet::new();
    let mut last = None;
    while tags.len() < MOST {
        let more = page(last.clone()).await?;
        last = more.last().cloned();
        let before = tags.len();
        tags.extend(more);
        if tags.len() == before {
            break;
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How many tags come of a registry that has so many and sends so many at a time, and in how many pages.
    fn listed(has: usize, sends: usize, looks_at_last: bool) -> (usize, usize) {
        let there: Vec<String> = (0..has).map(|tag| format!("{tag:06}")).collect();
        let pages = Cell::new(0);
        let page = async |last: Option<String>| {
            pages.set(pages.get() + 1);
            let follows =
                |tag: &&String| !looks_at_last || last.as_ref().is_none_or(|last| *tag > last);
            Ok::<Vec<String>, RegistryError>(
                there.iter().filter(follows).take(sends).cloned().collect(),
            )
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tags = runtime.block_on(all(page)).unwrap();
        (tags.len(), pages.get())
    }

    #[test]
    fn smaller_pages_than_were_asked_for_are_followed_by_others() {
        assert_eq!(listed(250, 100, true), (250, 4));
        assert_eq!(listed(200, 100, true), (200, 3));
        assert_eq!(listed(0, 100, true), (0, 1));
        // One that does not look at what is asked for.
        assert_eq!(listed(250, 1000, false), (250, 2));
        // And one without an end.
        assert_eq!(listed(150_000, 50_000, true), (100_000, 2));
    }
}
