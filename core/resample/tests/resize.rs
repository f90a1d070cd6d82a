//! What [`resize`] refuses. Here, and not beside the code, so that its loops are compiled once.

use vitral_resample::{Filter, Source, resize};

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let source = Source { pixels: &[0; 12], width: 2, height: 2, channels: 3 };
    let to = |source, crop, bytes| {
        resize(source, crop, None, Filter::Bilinear, (1, 1), &mut vec![0; bytes])
    };
    assert_eq!(to(source, (0, 0, 2, 2), 3), Ok(()));
    assert!(to(source, (1, 0, 2, 2), 3).is_err());
    assert!(to(source, (0, 0, 2, 2), 2).is_err());
    assert!(to(Source { width: 3, ..source }, (0, 0, 2, 2), 3).is_err());
    let error = to(Source { channels: 4, ..source }, (0, 0, 2, 2), 3).unwrap_err();
    assert!(error.contains("not 4"));
}
