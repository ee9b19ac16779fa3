//! What a pick and its verdict cost: `cargo test --release -p weft-proxy --lib balance::tests::cost -- --ignored --nocapture`.

use super::*;

#[test]
#[ignore = "measures, and proves nothing"]
fn nanoseconds_of_a_pick_and_its_verdict() {
    const TIMES: u32 = 5_000_000;
    for (algorithm, count) in
        all_algorithms().into_iter().flat_map(|algorithm| [(algorithm.clone(), 10), (algorithm, 1_000)])
    {
        let setup = Setup::new(algorithm.clone());
        let (balancer, dice) = (setup.balancer(&endpoints(1..=count)), Dice::new(1));
        let started = Instant::now();
        for request in 0..TIMES {
            let now = setup.start + Duration::from_micros(u64::from(request));
            let want = Want { key: Some(u64::from(request)), ..Want::default() };
            let mut picked = balancer.pick(&want, &dice, now).unwrap();
            picked.observe(answered(200, 10), now);
        }
        println!("{algorithm:?} of {count}: {} ns", started.elapsed().as_nanos() / u128::from(TIMES));
    }
}
