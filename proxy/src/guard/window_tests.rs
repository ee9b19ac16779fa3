//! What a window remembers, and what it says of it.

use super::*;
use proptest::prelude::*;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn an_empty_window_has_neither_ratio_nor_latency() {
    let window = Window::new(true);
    let view = window.at(5);
    assert_eq!(view.network_error_ratio(), 0.0);
    assert_eq!(view.response_code_ratio(0, 1000, 0, 1000), 0.0);
    assert_eq!(view.latency_at_quantile_ms(50.0), 0.0);
}

#[test]
fn statuses_are_counted_up_to_but_not_including_the_end() {
    let window = Window::new(false);
    for status in [200, 499, 500, 503, 599, 600] {
        window.record(status, MILLISECOND, 0);
    }
    assert_eq!(window.at(0).response_code_ratio(500, 600, 0, 600), 3.0 / 5.0);
    assert_eq!(window.at(0).response_code_ratio(500, 500, 0, 600), 0.0);
    assert_eq!(window.at(0).response_code_ratio(600, 500, 0, 600), 0.0);
    assert_eq!(window.at(0).response_code_ratio(0, u16::MAX, 600, u16::MAX), 6.0);
    assert_eq!(window.at(0).network_error_ratio(), 0.0);
    window.record(502, MILLISECOND, 0);
    window.record(504, MILLISECOND, 0);
    assert_eq!(window.at(0).network_error_ratio(), 2.0 / 8.0);
    window.record(u16::MAX, MILLISECOND, 0);
    assert_eq!(window.at(0).response_code_ratio(999, 1000, 0, 1000), 1.0 / 9.0);
}

#[test]
fn what_is_ten_seconds_old_is_forgotten() {
    let window = Window::new(true);
    window.record(500, MILLISECOND, 3);
    window.record(200, MILLISECOND, 4);
    assert_eq!(window.at(12).response_code_ratio(500, 600, 0, 600), 0.5);
    assert_eq!(window.at(13).response_code_ratio(500, 600, 0, 600), 0.0);
    assert_eq!(window.at(13).response_code_ratio(200, 300, 0, 600), 1.0);
    // Its slot is taken by another second.
    window.record(200, 3 * MILLISECOND, 13);
    assert_eq!(window.at(13).response_code_ratio(500, 600, 0, 600), 0.0);
    assert_eq!(window.at(13).latency_at_quantile_ms(100.0).floor(), 3.0);
    window.record(500, MILLISECOND, 3);
    assert_eq!(window.at(13).response_code_ratio(500, 600, 0, 600), 0.0, "a late one does not bring it back");
}

#[test]
fn cleared_it_is_as_new() {
    let window = Window::new(true);
    window.record(500, MILLISECOND, 3);
    window.clear();
    assert_eq!(window.at(3).response_code_ratio(500, 600, 0, 600), 0.0);
    window.record(200, 7 * MILLISECOND, 3);
    assert_eq!(window.at(3).response_code_ratio(200, 300, 0, 600), 1.0);
    assert_eq!(window.at(3).latency_at_quantile_ms(50.0).floor(), 7.0);
}

#[test]
fn quantiles_are_those_of_all_seconds() {
    let window = Window::new(true);
    for number in 1..=100 {
        window.record(200, number * MILLISECOND, u64::from(number) % 10);
    }
    for quantile in [1.0, 50.0, 90.0, 99.0, 100.0] {
        let measured = window.at(9).latency_at_quantile_ms(quantile);
        assert!((quantile..=quantile * 1.016).contains(&measured), "{quantile}: {measured}");
    }
    assert_eq!(window.at(9).latency_at_quantile_ms(0.0), window.at(9).latency_at_quantile_ms(1.0));
    assert_eq!(window.at(9).latency_at_quantile_ms(1e9), window.at(9).latency_at_quantile_ms(100.0));
}

#[test]
fn steps_are_in_order_and_end_in_the_last() {
    assert!((1..LATENCIES).all(|step| largest_of(step) > largest_of(step - 1)));
    assert_eq!(step_of(Duration::MAX), LATENCIES - 1);
    assert_eq!(largest_of(LATENCIES - 1), u64::from(u32::MAX));
}

#[test]
fn threads_at_once_lose_nothing_while_no_slot_is_cleared() {
    let window = Window::new(true);
    let record = |second| (0..10_000).for_each(|_| window.record(500, MILLISECOND, second));
    [0, 1].iter().copied().for_each(record);
    std::thread::scope(|scope| {
        for second in [0, 1, 0, 1] {
            scope.spawn(move || record(second));
        }
    });
    assert_eq!(window.at(1).statuses(0, 600), 60_000);
}

#[test]
fn threads_that_clear_at_once_bring_nothing_back() {
    let window = Window::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|second| window.record(500, MILLISECOND, second)));
        }
    });
    assert!(window.at(999).statuses(0, 600) <= 40);
}

proptest! {
    #[test]
    fn a_latency_is_in_the_step_that_holds_it(microseconds: u32) {
        let step = step_of(Duration::from_micros(microseconds.into()));
        prop_assert!(u64::from(microseconds) <= largest_of(step));
        prop_assert!(step == 0 || u64::from(microseconds) > largest_of(step - 1));
        prop_assert!(largest_of(step) as f64 <= f64::from(microseconds) * (1.0 + 1.0 / STEPS as f64));
    }

    #[test]
    fn it_says_what_a_list_of_all_would(requests in prop::collection::vec((0_u64..30, 100_u16..600), 0..200)) {
        let mut requests = requests;
        requests.sort_unstable();
        let window = Window::new(false);
        for (second, status) in &requests {
            window.record(*status, MILLISECOND, *second);
        }
        let last = requests.last().map_or(0, |(second, _)| *second);
        let recent = || requests.iter().filter(|(second, _)| second + SECONDS > last);
        let failed = recent().filter(|(_, status)| *status >= 500).count();
        let expected = ratio(failed as u64, recent().count() as u64);
        prop_assert_eq!(window.at(last).response_code_ratio(500, 600, 0, 600), expected);
    }
}
