//! The promises of a flight, each under the conditions that would break it. Never sleeps to
//! make a race happen: rounds make it.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Fails instead of hanging: a lost wake-up is the bug looked for.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("a waiter was forgotten")
}

async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn five_hundred_callers_share_one_piece_of_work() {
    let runtime = runtime();
    let flights = Flights::<usize>::new();
    let started = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Notify::new());
    let joined: Vec<_> = (0..500)
        .map(|_| {
            let (started, gate) = (Arc::clone(&started), Arc::clone(&gate));
            flights.join(runtime.handle(), "key", move |_| async move {
                started.fetch_add(1, SeqCst);
                gate.notified().await;
                42
            })
        })
        .collect();
    assert_eq!(joined.iter().filter(|joined| joined.role == Role::Led).count(), 1);
    assert_eq!(flights.len(), 1);
    let waits: Vec<_> = joined.into_iter().map(|joined| runtime.spawn(joined.wait())).collect();
    gate.notify_one();
    for wait in waits {
        assert_eq!(runtime.block_on(soon(wait)).unwrap(), Ok(42));
    }
    assert_eq!(started.load(SeqCst), 1);
    assert!(flights.is_empty());
}

#[test]
fn a_leaving_leader_costs_its_followers_nothing() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let gate = Arc::new(Notify::new());
    let waiting = Arc::clone(&gate);
    let leader = flights.join(runtime.handle(), "key", |_| async move {
        waiting.notified().await;
        7
    });
    let follower = flights.join(runtime.handle(), "key", |_| async { 9 });
    assert_eq!(follower.role, Role::Followed);
    drop(leader);
    gate.notify_one();
    assert_eq!(runtime.block_on(soon(follower.wait())), Ok(7));
}

#[test]
fn a_panic_reaches_every_waiter_and_the_next_caller_starts_anew() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let gate = Arc::new(Notify::new());
    let waiting = Arc::clone(&gate);
    let led = flights.join(runtime.handle(), "key", |_| async move {
        waiting.notified().await;
        panic!("meant to");
    });
    let followed = flights.join(runtime.handle(), "key", |_| async { 1 });
    gate.notify_one();
    assert_eq!(runtime.block_on(soon(led.wait())), Err(FlightLost));
    assert_eq!(runtime.block_on(soon(followed.wait())), Err(FlightLost));
    let next = flights.join(runtime.handle(), "key", |_| async { 2 });
    assert_eq!(next.role, Role::Led);
    assert_eq!(runtime.block_on(soon(next.wait())), Ok(2));
}

#[test]
fn a_panic_while_starting_does_not_leave_a_flight_behind() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _joined = flights
            .join(runtime.handle(), "key", |_| -> std::future::Ready<u8> { panic!("meant to") });
    }));
    assert!(outcome.is_err());
    assert!(flights.is_empty());
}

#[test]
fn a_runtime_that_goes_away_wakes_its_waiters() {
    let here = runtime();
    let gone = runtime();
    let flights = Flights::<u8>::new();
    let joined = flights.join(gone.handle(), "key", |_| std::future::pending());
    gone.shutdown_background();
    assert_eq!(here.block_on(soon(joined.wait())), Err(FlightLost));
    assert!(flights.is_empty());
}

/// Tells when it is dropped.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn work_nobody_waits_for_is_dropped() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    let held = Held(Arc::clone(&dropped));
    let joined = flights.join(runtime.handle(), "key", |_| async move {
        let _held = held;
        std::future::pending().await
    });
    drop(joined);
    runtime.block_on(until(|| dropped.load(SeqCst) == 1 && flights.is_empty()));
    let next = flights.join(runtime.handle(), "key", |_| async { 3 });
    assert_eq!(next.role, Role::Led);
    assert_eq!(runtime.block_on(soon(next.wait())), Ok(3));
}

#[test]
fn committed_work_finishes_with_nobody_waiting() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let finished = Arc::new(AtomicUsize::new(0));
    let (gate, committed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (count, wait, tell) = (Arc::clone(&finished), Arc::clone(&gate), Arc::clone(&committed));
    let joined = flights.join(runtime.handle(), "key", |abandoned| async move {
        abandoned.commit();
        tell.notify_one();
        abandoned.wait().await;
        assert!(abandoned.is());
        wait.notified().await;
        count.fetch_add(1, SeqCst);
        5
    });
    runtime.block_on(soon(committed.notified()));
    drop(joined);
    // Someone who comes while it finishes shares it.
    let late = flights.join(runtime.handle(), "key", |_| async { 6 });
    assert_eq!(late.role, Role::Followed);
    drop(late);
    gate.notify_one();
    runtime.block_on(until(|| finished.load(SeqCst) == 1 && flights.is_empty()));
}

#[test]
fn keys_do_not_meet() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let a = flights.join(runtime.handle(), "a", |_| async { 1 });
    let b = flights.join(runtime.handle(), "b", |_| async { 2 });
    assert_eq!((a.role, b.role), (Role::Led, Role::Led));
    assert_eq!(runtime.block_on(soon(a.wait())), Ok(1));
    assert_eq!(runtime.block_on(soon(b.wait())), Ok(2));
}

/// 1,000 rounds: 50 callers from several threads, the first to come leaves at once, some others
/// leave at arbitrary moments, every eleventh flight panics. Everyone who stays is answered; in
/// half of the rounds the first flight is held open from outside.
#[test]
fn no_caller_is_forgotten_in_a_thousand_stormy_rounds() {
    let runtime = runtime();
    let flights = Flights::<usize>::new();
    for round in 0..1_000_usize {
        let started = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Notify::new());
        let held = (round % 2 == 1).then(|| {
            let (started, gate) = (Arc::clone(&started), Arc::clone(&gate));
            flights.join(runtime.handle(), "key", move |_| async move {
                started.fetch_add(1, SeqCst);
                gate.notified().await;
                assert!(!round.is_multiple_of(11), "meant to");
                round
            })
        });
        let callers: Vec<_> = (0..50_usize)
            .map(|caller| {
                let (flights, started) = (flights.clone(), Arc::clone(&started));
                runtime.spawn(storm(flights, started, round, caller))
            })
            .collect();
        gate.notify_one();
        let held = held.map(|joined| runtime.block_on(soon(joined.wait())));
        for outcome in
            callers.into_iter().filter_map(|caller| runtime.block_on(soon(caller)).unwrap())
        {
            assert_eq!(outcome, if round.is_multiple_of(11) { Err(FlightLost) } else { Ok(round) });
        }
        if let Some(outcome) = held {
            assert_eq!(outcome.is_err(), round.is_multiple_of(11));
        }
        assert!(started.load(SeqCst) >= 1);
        runtime.block_on(until(|| flights.is_empty()));
    }
}

async fn storm(
    flights: Flights<usize>,
    started: Arc<AtomicUsize>,
    round: usize,
    caller: usize,
) -> Option<Result<usize, FlightLost>> {
    let joined = flights.join(&Handle::current(), "key", |_| async move {
        started.fetch_add(1, SeqCst);
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        assert!(!round.is_multiple_of(11), "meant to");
        round
    });
    if joined.role == Role::Led || caller.is_multiple_of(13) {
        if caller.is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
        return None;
    }
    Some(joined.wait().await)
}

#[test]
fn one_who_stays_from_first_to_last_keeps_the_work_single() {
    let runtime = runtime();
    let flights = Flights::<u8>::new();
    let started = Arc::new(AtomicUsize::new(0));
    for _ in 0..1_000 {
        started.store(0, SeqCst);
        let gate = Arc::new(Notify::new());
        let join = || {
            let (started, gate) = (Arc::clone(&started), Arc::clone(&gate));
            flights.join(runtime.handle(), "key", move |_| async move {
                started.fetch_add(1, SeqCst);
                gate.notified().await;
                1
            })
        };
        let stays = join();
        let leavers: Vec<_> =
            (0..20).map(|_| join()).map(|joined| runtime.spawn(async { drop(joined) })).collect();
        for leaver in leavers {
            runtime.block_on(soon(leaver)).unwrap();
        }
        gate.notify_one();
        assert_eq!(runtime.block_on(soon(stays.wait())), Ok(1));
        assert_eq!(started.load(SeqCst), 1);
        runtime.block_on(until(|| flights.is_empty()));
    }
}

#[test]
fn flights_are_counted_by_what_they_are_about_while_they_last() {
    let runtime = runtime();
    let flights = Flights::<u8, &str>::new();
    let gate = Arc::new(Notify::new());
    let start = |key: &str, about| {
        let gate = Arc::clone(&gate);
        flights.join_about(runtime.handle(), key, about, |_| async move {
            gate.notified().await;
            1
        })
    };
    let joined = [start("a", "cat"), start("b", "cat"), start("c", "dog"), start("a", "dog")];
    let count = |about| flights.count(|found| *found == about);
    assert_eq!((count("cat"), count("dog"), count("cow")), (2, 1, 0));
    assert_eq!(joined[3].role, Role::Followed, "what the leader said of the flight counts");
    for _ in 0..3 {
        gate.notify_one();
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(2)).await });
    }
    for joined in joined {
        assert_eq!(runtime.block_on(soon(joined.wait())), Ok(1));
    }
    assert_eq!(flights.count(|_| true), 0);
}
