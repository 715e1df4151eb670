//! Each row again with the driver's defence disabled: it must fail, or it proves nothing.

use oxlo_test_support::verdict;

fn goes_red(row: &str, broken: &str, wanted: &str) {
    let said = verdict(row, broken).unwrap_or_else(|| panic!("{row} passes though {broken} is broken"));
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_driver_that_keeps_any_body_is_noticed() {
    goes_red("rows_rabbit::row_62_a_body_without_end", "body_size", "MiB more");
}

#[test]
fn a_driver_that_takes_more_than_the_prefetch_is_noticed() {
    goes_red("rows_rabbit::row_63_a_prefetch_that_is_ignored", "prefetch", "no connection was given up");
}

#[test]
fn a_driver_that_keeps_any_return_is_noticed() {
    goes_red("rows_rabbit::row_64_returns_of_what_was_never_sent", "returned", "no connection was given up");
}
