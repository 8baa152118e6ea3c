//! An allocator that counts, thread by thread, and a hook that keeps expected panics quiet.
//!
//! Use it with `#[path = "common/counting.rs"] mod counting;`: the whole test binary then allocates through it.
#![expect(unsafe_code, reason = "a counting allocator is the only way to see a peak")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count(bytes: isize) {
    let in_use = IN_USE.get() + bytes;
    IN_USE.set(in_use);
    PEAK.set(PEAK.get().max(in_use));
}

// SAFETY: every call goes to the system allocator unchanged; the counters are plain cells of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both live at once when the block moves.
        count(new_size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs something and says how far its allocations rose above where they were.
pub fn with_peak<T>(run: impl FnOnce() -> T) -> (T, isize) {
    let before = IN_USE.get();
    PEAK.set(before);
    let result = run();
    (result, PEAK.get() - before)
}

/// Panics inside a trial are expected by the thousand; printing each with a backtrace takes minutes.
pub fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = run();
    QUIET.set(false);
    result
}

/// The same, and how much of it is still in use afterwards.
pub fn with_peak_and_rest<T>(run: impl FnOnce() -> T) -> (T, isize, isize) {
    let before = IN_USE.get();
    let (result, peak) = with_peak(run);
    (result, peak, IN_USE.get() - before)
}
