//! What plugins do to the host through their table, which no sandbox contains.

use std::{cell::Cell, ffi::c_void, ptr};

use vitral_abi::{
    c::{self, Host, List},
    convert::{leak_description, text_of},
};
use vitral_host::{
    Batch, Call, Cause, Description, Evaluation, Event, Image, Interests, Kind, Layer, Plugin,
};
use vitral_program::Limits;

use crate::{
    support::*,
    tables::{apply, described, fail, table},
};

type Augment =
    unsafe extern "C" fn(*mut c_void, *const Host, *const c::Image, *const c::Sample) -> u32;
type TraceAttention =
    unsafe extern "C" fn(*mut c_void, *const Host, *const c::Layer, u64, u64, u64) -> u32;

fn open(kind: Kind, change: impl FnOnce(&mut c::Plugin)) -> Result<Plugin, String> {
    Plugin::compiled_in(table(kind, change)).map_err(|error| error.to_string())
}

/// Augments the 2x2 image once.
fn run(augment: Augment) -> Result<Image, (Cause, String)> {
    let plugin = open(Kind::ImageAugmentation, |table| table.augment = Some(augment)).unwrap();
    let mut instance = plugin.image_augmentation(&defaults(&plugin)).unwrap();
    crate::support::augment(&mut *instance).map_err(|error| {
        assert_eq!((error.plugin.as_str(), error.call), ("by-hand", Call::Augment));
        (error.cause.clone(), error.to_string())
    })
}

fn trace_with(traces: TraceAttention) -> (Cause, String) {
    let plugin = open(Kind::Attention, |table| table.trace_attention = Some(traces)).unwrap();
    let error = trace(&plugin).unwrap_err();
    (error.cause.clone(), error.to_string())
}

/// A function of a table, whose body may use the host and what else is named.
macro_rules! augment {
    (|$instance:ident, $host:ident, $image:ident| $body:expr) => {{
        unsafe extern "C" fn augment(
            $instance: *mut c_void,
            $host: *const Host,
            $image: *const c::Image,
            _: *const c::Sample,
        ) -> u32 {
            // Bodies that only return something are not unsafe.
            #[allow(unused_unsafe)]
            // SAFETY: everything is used during the call, and as the contract says or wrong in a way
            // that the host must notice.
            unsafe { $body }
        }
        augment as Augment
    }};
}

macro_rules! attention {
    (|$host:ident, $query:ident| $body:expr) => {{
        unsafe extern "C" fn attention(
            _: *mut c_void,
            $host: *const Host,
            _: *const c::Layer,
            $query: u64,
            _: u64,
            _: u64,
        ) -> u32 {
            #[allow(unused_unsafe)]
            // SAFETY: as in `augment`.
            unsafe {
                $body
            }
        }
        attention as TraceAttention
    }};
}

#[test]
fn tables_that_do_not_keep_to_the_contract_are_refused() {
    let refused = |change: fn(&mut c::Plugin)| open(Kind::Monitor, change).err().unwrap();
    let minor = vitral_abi::VERSION.1;
    let spoken = format!("contract 2.{minor}, but this vitral supports 1.0 to 1.{minor}");
    for (change, wanted) in [
        ((|t| t.major = 2) as fn(&mut c::Plugin), spoken.as_str()),
        (|t| t.minor = 9, "contract 1.9"),
        (|t| t.struct_size = 8, "its table has 8 bytes"),
        (|t| t.struct_size = size_of::<c::Plugin>() - 8, "but contract 1.0 has"),
        (|t| t.kind = 9, "no kind of plugin with tag 9"),
        (|t| t.describe = None, "no function `describe`"),
        (|t| t.create = None, "no function `create`"),
        (|t| t.destroy = None, "no function `destroy`"),
        (|t| t.observe = None, "no function `observe`"),
        (|t| t.restore = None, "no function `restore`"),
    ] {
        let text = refused(change);
        assert!(text.contains(wanted), "{text}");
    }
    // What other kinds have is not asked for.
    assert!(open(Kind::Monitor, |table| table.augment = None).is_ok());
}

#[test]
fn descriptions_that_make_no_sense_are_refused() {
    thread_local! {
        static DESCRIBED: Cell<*const c::Description> = const { Cell::new(ptr::null()) };
    }
    unsafe extern "C" fn describe() -> *const c::Description {
        DESCRIBED.get()
    }
    let open = || open(Kind::Attention, |table| table.describe = Some(describe)).err().unwrap();
    let text = open();
    assert!(text.contains("its description is null"), "{text}");
    for (change, wanted) in [
        (
            (|d| d.name = "Big Name".into()) as fn(&mut Description),
            "lower-case words joined by `-`",
        ),
        (|d| d.name.clear(), "lower-case words joined by `-`"),
        (|d| d.version = "one".into(), "its version `one`"),
        (|d| d.summary = "two\nlines".into(), "its summary must be one line"),
        (|d| d.summary = "x".repeat(1000), "at most 512 bytes"),
    ] {
        let mut description = described();
        change(&mut description);
        DESCRIBED.set(leak_description(description));
        let text = open();
        assert!(text.contains(wanted), "{text}");
    }
    let mut broken = *leak_description(described());
    broken.summary = List { data: ptr::null(), len: 5 };
    DESCRIBED.set(Box::leak(Box::new(broken)));
    let text = open();
    assert!(text.contains("summary: a list of 5 items is at null"), "{text}");
}

#[test]
fn failures_are_told_apart() {
    let (cause, text) = run(augment!(|_a, host, _b| fail(host, "no\x1b luck"))).unwrap_err();
    assert_eq!(cause, Cause::Failed("no luck".into()), "{text}");
    assert!(text.contains("plugin `by-hand` failed in augment (image 2x2x1, epoch 1, seed 0x7)"));
    let (cause, _) = run(augment!(|_a, _host, _b| c::FAILED)).unwrap_err();
    assert_eq!(cause, Cause::Failed("it did not say why".into()));
    let (cause, _) = run(augment!(|_a, host, _b| {
        fail(host, "index 7");
        c::PANICKED
    }))
    .unwrap_err();
    assert_eq!(cause, Cause::Panicked("index 7".into()));
    let (cause, _) = run(augment!(|_a, _host, _b| 99)).unwrap_err();
    assert!(matches!(&cause, Cause::BadResult(text) if text.contains("status 99")), "{cause:?}");
    let (cause, _) = run(augment!(|_a, host, _b| fail(host, &"x".repeat(1 << 20)))).unwrap_err();
    assert!(matches!(&cause, Cause::Failed(text) if text.len() == 64 << 10));
}

#[test]
fn after_a_panic_the_next_call_gets_a_fresh_instance() {
    let augment = augment!(|instance, _host, _b| {
        let calls = crate::tables::calls(instance);
        *calls += 1;
        if *calls == 2 { c::PANICKED } else { c::OK }
    });
    let plugin = open(Kind::ImageAugmentation, |table| table.augment = Some(augment)).unwrap();
    let mut instance = plugin.image_augmentation(&defaults(&plugin)).unwrap();
    let outcomes = [0; 5].map(|_| crate::support::augment(&mut *instance).is_ok());
    assert_eq!(outcomes, [true, false, true, false, true]);
}

#[test]
fn what_a_call_does_not_have_is_its_error() {
    for (augment, wanted) in [
        (
            augment!(|_a, host, _b| {
                assert_eq!(apply(host, "abs", &[1, 2]), u64::MAX);
                c::OK
            }),
            "called `apply`, but nothing is traced",
        ),
        (
            augment!(|_a, host, _b| {
                ((*host).result)((*host).context, 5);
                c::OK
            }),
            "called `result`, but nothing is traced",
        ),
        (
            augment!(|_a, host, _b| {
                let initializer = c::Initializer { tag: 77, a: 0.0, b: 0.0 };
                ((*host).parameter)((*host).context, text_of("p"), List::EMPTY, initializer, 1);
                c::OK
            }),
            "called `parameter`, but nothing is traced",
        ),
        (
            augment!(|_a, host, _b| {
                ((*host).tensor_type)((*host).context, 5, ptr::null_mut(), 100) as u32
            }),
            "called `tensor_type`, but nothing is traced",
        ),
        (
            augment!(|_a, host, _b| {
                ((*host).act)((*host).context, ptr::null());
                c::OK
            }),
            "called `act` with null",
        ),
        (
            augment!(|_a, host, _b| {
                let action = c::Action { tag: 99, text: text_of(""), number: 0.0 };
                ((*host).act)((*host).context, &raw const action);
                c::OK
            }),
            "no action with tag 99",
        ),
        (
            augment!(|_a, host, _b| {
                ((*host).new_image)((*host).context, 0, 1, 1);
                c::OK
            }),
            "image of 0x1x1; sides may be 1 to 16384",
        ),
    ] {
        let (cause, text) = run(augment).unwrap_err();
        assert!(matches!(cause, Cause::BadResult(_)) && text.contains(wanted), "{text}");
    }
}

#[test]
fn a_host_that_is_kept_after_its_call_does_nothing() {
    thread_local! {
        static KEPT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }
    let keep = augment!(|_a, host, _b| {
        KEPT.set(((*host).context.addr(), (*host).fail as usize));
        c::OK
    });
    let other_thread = augment!(|_a, host, _b| {
        let (context, fail) = ((*host).context.addr(), (*host).fail);
        std::thread::spawn(move || {
            fail(ptr::without_provenance_mut(context), text_of("from afar"))
        })
        .join()
        .unwrap();
        c::FAILED
    });
    let stale = augment!(|_a, host, _b| {
        let (context, fail) = KEPT.get();
        assert_eq!(fail, (*host).fail as usize);
        ((*host).fail)(ptr::without_provenance_mut(context), text_of("from before"));
        ((*host).fail)(ptr::null_mut(), text_of("from nowhere"));
        c::FAILED
    });
    run(keep).unwrap();
    for augment in [other_thread, stale] {
        let (cause, _) = run(augment).unwrap_err();
        assert_eq!(cause, Cause::Failed("it did not say why".into()));
    }
}

#[test]
fn every_image_of_a_call_stays_writable_and_the_last_counts() {
    let changed = run(augment!(|_a, host, _b| {
        let first = ((*host).new_image)((*host).context, 100, 100, 1);
        let second = ((*host).new_image)((*host).context, 1, 2, 1);
        first.write_bytes(9, 10_000);
        second.write_bytes(7, 2);
        c::OK
    }));
    assert_eq!(changed, Ok(Image { width: 1, height: 2, channels: 1, pixels: vec![7, 7] }));
    let (_, text) = run(augment!(|_a, host, _b| {
        while !((*host).new_image)((*host).context, 16_384, 16_384, 1).is_null() {}
        c::OK
    }))
    .unwrap_err();
    assert!(text.contains("images of more than 1024 MiB in one call"), "{text}");
}

#[test]
fn an_image_that_is_none_reaches_no_plugin() {
    let plugin = open(Kind::ImageAugmentation, |_| ()).unwrap();
    let mut instance = plugin.image_augmentation(&defaults(&plugin)).unwrap();
    for (width, channels, bytes) in [(1000, 1, 4), (2, 2, 8), (0, 1, 0), (u32::MAX, 3, 4)] {
        let mut image = Image { width, height: 2, channels, pixels: vec![0; bytes] };
        assert!(instance.augment(&mut image, &SAMPLE).is_err(), "{image:?}");
    }
}

#[test]
fn programs_are_traced() {
    let plugin = open(Kind::Attention, |_| ()).unwrap();
    assert_eq!(trace(&plugin).unwrap().outputs()[0].name, "output");
    let plugin = open(Kind::BatchAugmentation, |_| ()).unwrap();
    let batch = Batch { height: 4, width: 4, channels: 3, classes: 10 };
    let trace = |batch| plugin.trace_batch(&defaults(&plugin), &batch, &Limits::default());
    let program = trace(batch).unwrap();
    let names: Vec<_> = program.outputs().iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["images", "targets"]);
    let text = trace(Batch { classes: 0, ..batch }).unwrap_err().to_string();
    assert!(text.contains("batches of 4x4x3 images and 0 classes"), "{text}");
}

#[test]
fn a_layer_without_size_is_an_error() {
    let plugin = open(Kind::Attention, |_| ()).unwrap();
    for layer in [
        Layer { heads: 0, ..LAYER },
        Layer { head_width: 0, ..LAYER },
        Layer { grid_height: u32::MAX, grid_width: u32::MAX, ..LAYER },
    ] {
        let error = plugin.trace_attention(&defaults(&plugin), &layer, &Limits::default());
        assert_eq!(error.unwrap_err().call, Call::Trace);
    }
}

#[test]
fn traces_that_go_wrong_say_how() {
    let (cause, text) = trace_with(attention!(|host, query| {
        let poisoned = apply(host, "nonsense", &[query]);
        let follows = apply(host, "abs", &[poisoned]);
        ((*host).result)((*host).context, follows);
        c::OK
    }));
    assert!(matches!(&cause, Cause::Trace(errors) if errors.errors.len() == 1), "{cause:?}");
    assert!(text.contains("there is no op `nonsense`"), "{text}");
    for (attention, wanted) in [
        (attention!(|_host, _query| c::OK), "it returned 0 results, but must return 1"),
        (
            attention!(|host, query| {
                (0..9).for_each(|_| ((*host).result)((*host).context, query));
                c::OK
            }),
            "it returned more results, but must return 1",
        ),
        (
            attention!(|host, _query| {
                ((*host).result)((*host).context, 12345);
                c::OK
            }),
            "not of this trace",
        ),
        (
            attention!(|host, query| {
                let value = c::Value { tag: 77, data: c::ValueData { integer: 0 } };
                let attribute = c::Setting { name: text_of("axis"), value };
                let attributes = List { data: &raw const attribute, len: 1 };
                let operands = List { data: &raw const query, len: 1 };
                let none = ptr::null_mut();
                let (op, label) = (text_of("softmax"), text_of(""));
                ((*host).apply)((*host).context, op, attributes, operands, label, none, 9);
                ((*host).result)((*host).context, query);
                c::OK
            }),
            "no kind of value with tag 77",
        ),
        (
            attention!(|host, query| {
                let initializer = c::Initializer { tag: c::NORMAL, a: f64::NAN, b: 0.0 };
                let shape = [0_u32];
                let shape = List { data: shape.as_ptr(), len: 1 };
                ((*host).parameter)((*host).context, text_of("p"), shape, initializer, 1);
                ((*host).result)((*host).context, query);
                c::OK
            }),
            "its parameter `p`",
        ),
    ] {
        let (_, text) = trace_with(attention);
        assert!(text.contains(wanted), "{text}");
    }
}

fn event(step: u64) -> Event {
    Event::Evaluated(Evaluation {
        step,
        epoch: 0.0,
        loss: 0.0,
        top1: 0.0,
        top5: 0.0,
        is_best: true,
    })
}

#[test]
fn a_monitor_that_panics_goes_on_from_its_saved_state() {
    let plugin = open(Kind::Monitor, |_| ()).unwrap();
    let mut monitor = plugin.monitor(&defaults(&plugin)).unwrap();
    assert_eq!(monitor.interests(), Interests { steps: 3, layers: 0 });
    monitor.observe(&event(1)).unwrap();
    assert_eq!(monitor.save().unwrap(), [1]);
    monitor.observe(&event(2)).unwrap();
    assert!(matches!(monitor.observe(&event(3)).unwrap_err().cause, Cause::Panicked(_)));
    assert_eq!(monitor.save().unwrap(), [1]);
    monitor.observe(&event(4)).unwrap();
    assert_eq!(monitor.save().unwrap(), [2]);
}

#[test]
fn a_monitor_that_panics_without_a_saved_state_fails_for_good() {
    let plugin = open(Kind::Monitor, |_| ()).unwrap();
    let mut monitor = plugin.monitor(&defaults(&plugin)).unwrap();
    let outcomes = [1, 2, 3, 4].map(|step| monitor.observe(&event(step)).is_ok());
    assert_eq!(outcomes, [true, true, false, false]);
    let text = monitor.save().unwrap_err().to_string();
    assert!(
        text.contains("it had saved no state when plugin `by-hand` failed in observe"),
        "{text}"
    );
    // What is restored takes the place of what was lost.
    assert!(monitor.restore(&[]).is_err());
    assert!(monitor.observe(&event(5)).is_err());
    monitor.restore(&[0]).unwrap();
    monitor.observe(&event(6)).unwrap();
}

#[test]
fn a_plugin_is_used_for_what_it_is() {
    let plugin = open(Kind::Monitor, |_| ()).unwrap();
    let error = plugin.image_augmentation(&defaults(&plugin)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "plugin `by-hand` failed in configure (as image-augmentation): it is of kind monitor"
    );
}
