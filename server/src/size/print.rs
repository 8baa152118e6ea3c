//! The report for people.

use super::{Amount, Size};

/// Bytes as people read them.
fn bytes(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match STEPS.into_iter().find(|(step, _)| bytes >= *step) {
        // In integers: tenths, rounded down.
        Some((step, name)) => format!("{}.{} {name}", bytes / step, bytes % step * 10 / step),
        None => format!("{bytes} B"),
    }
}

fn share(part: u64, whole: u64) -> String {
    format!("{} %", (part * 100).checked_div(whole).unwrap_or(0))
}

pub(super) fn print(size: &Size) {
    let files = &size.files;
    say!("files");
    for (name, count) in [
        ("journal (the truth)", files.journal),
        ("index (comes back when it is gone)", files.index),
        ("segments for phones (come back when they are gone)", files.segments),
        ("devices of root and board", files.devices),
        ("other", files.other),
    ] {
        say!("  {:>10}  {name}", bytes(count));
    }
    say!("spaces");
    for (name, space) in &size.spaces {
        let Amount { rows, bytes: stored } = space.stored;
        let erased = share(space.erased, space.entries);
        say!(
            "  {:>10}  {name}: {} entries ({erased} erased), {} of bodies, {rows} rows",
            bytes(stored),
            space.entries,
            bytes(space.body_bytes)
        );
        for (month, amount) in &space.months {
            say!("  {:>10}    {month}: {} entries", bytes(amount.bytes), amount.rows);
        }
    }
    say!("tables");
    for (name, amount) in &size.tables {
        say!("  {:>10}  {name}: {} rows", bytes(amount.bytes), amount.rows);
    }
    say!("live rows: {} of {} of journal", bytes(size.live_bytes), bytes(files.journal));
    say!("values that were deleted or replaced and go with the next scrub: {}", size.dead_values);
    say!("retention would free {} (old blobs and views; words are never among them)", bytes(size.retention_frees));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_like_sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!((share(1, 3), share(0, 0)), ("33 %".to_owned(), "0 %".to_owned()));
    }
}
