//! The promises of admission and pool: what is full refuses at once, and what was taken comes
//! back however the work ended.

use super::*;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

pub(super) const MIB: u64 = 1 << 20;
pub(super) const SMALL: Cost = Cost { bytes: MIB, pixels: 10_000 };

pub(super) fn cpu(slots: usize, max_queue: usize) -> (Arc<Cpu>, CpuMetrics) {
    let metrics = CpuMetrics::default();
    let settings = CpuSettings {
        slots,
        background_slots: (slots / 2).max(1),
        batches: 8,
        max_queue,
        memory_bytes: 100 * MIB,
        giant_pixels: 20_000_000,
        expected_job: Duration::from_millis(1),
    };
    (Arc::new(Cpu::new(&settings, metrics.clone()).unwrap()), metrics)
}

pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came about");
}

pub(super) fn all_free(metrics: &CpuMetrics) -> bool {
    metrics.slots_in_use.get() == 0
        && metrics.queue_depth.get() == 0
        && metrics.memory_reserved.get() == 0
        && metrics.utilization() == 0.0
}

#[tokio::test]
async fn one_more_than_running_and_waiting_is_refused_at_once() {
    let (cpu, metrics) = cpu(2, 3);
    let running =
        [cpu.admit(SMALL, soon()).await.unwrap(), cpu.admit(SMALL, soon()).await.unwrap()];
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move { cpu.admit(SMALL, soon()).await.map(drop) })
        })
        .collect();
    until(|| cpu.admission().waiting() == 3).await;
    assert_eq!((metrics.slots_in_use.get(), metrics.queue_depth.get()), (2, 3));
    assert!((metrics.utilization() - 2.5).abs() < 1e-9);

    let begun = Instant::now();
    let mut seconds = HashSet::new();
    for _ in 0..100 {
        match cpu.admit(SMALL, soon()).await {
            Err(Refused::Busy { retry_after_seconds }) => seconds.insert(retry_after_seconds),
            other => panic!("{other:?}"),
        };
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(seconds.iter().all(|s| (1..=5).contains(s)), "{seconds:?}");
    assert!(seconds.len() > 1, "no jitter: {seconds:?}");
    assert_eq!(metrics.busy.get(), 100);

    drop(running);
    for admitted in waiting {
        assert_eq!(admitted.await.unwrap(), Ok(()));
    }
    assert!(all_free(&metrics));
}

#[tokio::test]
async fn no_more_wait_than_fit_a_quarter_of_the_time_left() {
    let (cpu, _) = cpu(1, 1_000);
    // A second per job: two of them fit a quarter of 8.5 s on one slot.
    let slow = Duration::from_secs(1);
    let settings = CpuSettings {
        slots: 1,
        background_slots: 1,
        batches: 8,
        max_queue: 1_000,
        memory_bytes: 100 * MIB,
        giant_pixels: 1,
        expected_job: slow,
    };
    let admission = Admission::new(&settings, CpuMetrics::default());
    assert_eq!(admission.job_time(), slow);
    let _running = admission.admit(SMALL, soon()).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(8_500);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let admission = admission.clone();
            tokio::spawn(async move { admission.admit(SMALL, deadline).await.map(drop) })
        })
        .collect();
    until(|| admission.waiting() == 2).await;
    let third = admission.admit(SMALL, deadline).await.map(drop);
    assert!(matches!(third, Err(Refused::Busy { .. })), "{third:?}");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);

    // The same queue is open again once jobs prove to be fast.
    let before = cpu.admission().job_time();
    for _ in 0..50 {
        let ticket = cpu.admit(SMALL, soon()).await.unwrap();
        cpu.run(ticket, || std::thread::sleep(Duration::from_millis(5))).await.unwrap();
    }
    let after = cpu.admission().job_time();
    assert!(before < after && after >= Duration::from_millis(4), "{before:?} {after:?}");
}

#[tokio::test]
async fn work_whose_deadline_passed_is_not_started() {
    let (cpu, metrics) = cpu(1, 10);
    let past = Instant::now().checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(cpu.admit(SMALL, past).await.map(drop), Err(Refused::Expired));
    let running = cpu.admit(SMALL, soon()).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    assert_eq!(cpu.admit(SMALL, deadline).await.map(drop), Err(Refused::Expired));
    assert!(deadline.elapsed() < Duration::from_secs(1));
    assert_eq!(metrics.expired.get(), 2);
    drop(running);
    assert!(all_free(&metrics));
}

#[tokio::test]
async fn what_could_not_run_alone_is_refused_whatever_is_free() {
    let (cpu, metrics) = cpu(2, 10);
    let cost = Cost { bytes: 100 * MIB + 1, pixels: 1 };
    let refused = cpu.admit(cost, soon()).await.map(drop);
    assert_eq!(refused, Err(Refused::TooCostly { bytes: 100 * MIB + 1, budget: 100 * MIB }));
    assert_eq!(metrics.too_costly.get(), 1);
    let whole = Cost { bytes: 100 * MIB, pixels: 1 };
    drop(cpu.admit(whole, soon()).await.unwrap());
    assert!(all_free(&metrics));
}

#[tokio::test]
async fn memory_is_never_promised_twice() {
    let (cpu, metrics) = cpu(4, 10);
    let quarter = Cost { bytes: 25 * MIB, pixels: 1 };
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(cpu.admit(quarter, soon()).await.unwrap());
    }
    assert_eq!(metrics.memory_reserved.get(), 75 * MIB.cast_signed());
    let large = Cost { bytes: 30 * MIB, pixels: 1 };
    let waiter = tokio::spawn({
        let cpu = Arc::clone(&cpu);
        async move { cpu.admit(large, soon()).await }
    });
    until(|| cpu.admission().waiting() == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiter.is_finished(), "a slot is free, the memory is not");
    held.pop();
    let ticket = waiter.await.unwrap().unwrap();
    assert_eq!(metrics.memory_reserved.get(), 80 * MIB.cast_signed());
    drop((ticket, held));
    assert!(all_free(&metrics));
}

#[tokio::test]
async fn giants_hold_half_of_the_slots_and_small_work_passes_them() {
    for giant in [Cost { bytes: 26 * MIB, pixels: 1 }, Cost { bytes: 1, pixels: 20_000_001 }] {
        let (cpu, metrics) = cpu(4, 10);
        let giants =
            [cpu.admit(giant, soon()).await.unwrap(), cpu.admit(giant, soon()).await.unwrap()];
        let third = tokio::spawn({
            let cpu = Arc::clone(&cpu);
            async move { cpu.admit(giant, soon()).await.map(drop) }
        });
        until(|| cpu.admission().waiting() == 1).await;
        // With one giant waiting, small work still gets the other half at once.
        let small =
            [cpu.admit(SMALL, soon()).await.unwrap(), cpu.admit(SMALL, soon()).await.unwrap()];
        assert!(!third.is_finished());
        drop(giants);
        assert_eq!(third.await.unwrap(), Ok(()));
        drop(small);
        assert!(all_free(&metrics));
    }
    let (cpu, _) = cpu(1, 10);
    let giant = Cost { bytes: 90 * MIB, pixels: u64::MAX };
    assert!(cpu.admit(giant, soon()).await.is_ok(), "one slot is enough for one");
}

#[tokio::test]
async fn a_giant_waiting_for_memory_is_not_overtaken_for_ever() {
    let (cpu, metrics) = cpu(2, 100);
    let first = cpu.admit(Cost { bytes: 20 * MIB, pixels: 1 }, soon()).await.unwrap();
    let giant = tokio::spawn({
        let cpu = Arc::clone(&cpu);
        async move { cpu.admit(Cost { bytes: 90 * MIB, pixels: 1 }, soon()).await.map(drop) }
    });
    until(|| cpu.admission().waiting() == 1).await;
    let crowd: Vec<_> = (0..50)
        .map(|_| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move { cpu.admit(SMALL, soon()).await.map(drop) })
        })
        .collect();
    until(|| cpu.admission().waiting() == 51).await;
    drop(first);
    assert_eq!(giant.await.unwrap(), Ok(()));
    for one in crowd {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert!(all_free(&metrics));
}

#[tokio::test]
async fn a_thousand_panics_cost_their_jobs_only() {
    let (cpu, metrics) = cpu(2, 10);
    for n in 0..1_000 {
        let ticket = cpu.admit(SMALL, soon()).await.unwrap();
        let lost = cpu.run(ticket, move || assert!(n > 1_000, "job {n}")).await;
        assert_eq!(lost, Err(JobLost::Panicked(format!("job {n}"))));
    }
    assert!(all_free(&metrics));
    assert_eq!((metrics.panics.get(), metrics.jobs.get()), (1_000, 1_000));
    let mut names = HashSet::new();
    for _ in 0..100 {
        let ticket = cpu.admit(SMALL, soon()).await.unwrap();
        let name = cpu.run(ticket, || std::thread::current().name().map(str::to_owned)).await;
        names.insert(name.unwrap().unwrap());
    }
    assert!(names.iter().all(|name| name == "render-0" || name == "render-1"), "{names:?}");
}

#[tokio::test]
async fn a_waiter_that_leaves_gives_up_its_place() {
    let (cpu, metrics) = cpu(1, 1);
    let running = cpu.admit(SMALL, soon()).await.unwrap();
    for _ in 0..100 {
        let leaver = tokio::time::timeout(Duration::from_millis(1), cpu.admit(SMALL, soon()));
        assert!(leaver.await.is_err());
        assert_eq!(cpu.admission().waiting(), 0);
    }
    drop(running);
    assert!(all_free(&metrics));
    drop(cpu.admit(SMALL, soon()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_caller_left_is_not_begun_and_a_running_one_keeps_its_ticket() {
    // Two tickets for one thread, so that a job can queue behind another.
    let metrics = CpuMetrics::default();
    let pool = Arc::new(Pool::new(1, metrics.clone()).unwrap());
    let settings = CpuSettings {
        slots: 2,
        background_slots: 1,
        batches: 8,
        max_queue: 0,
        memory_bytes: 100 * MIB,
        giant_pixels: u64::MAX,
        expected_job: Duration::from_millis(1),
    };
    let admission = Admission::new(&settings, metrics.clone());
    let (release, gate) = mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let first = admission.admit(SMALL, soon()).await.unwrap();
    let running = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move {
            let job = move || {
                let _ = begun.send(());
                let _ = gate.recv();
            };
            pool.run(first, job).await
        }
    });
    begins.await.unwrap();
    let second = admission.admit(SMALL, soon()).await.unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let queued = pool.run(second, move || count.fetch_add(1, SeqCst));
    assert!(tokio::time::timeout(Duration::from_millis(20), queued).await.is_err());
    running.abort();
    let _ = running.await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Both callers are gone; the running work still holds what it uses.
    assert_eq!(metrics.slots_in_use.get(), 2);
    release.send(()).unwrap();
    until(|| all_free(&metrics)).await;
    assert_eq!((ran.load(SeqCst), metrics.skipped.get(), metrics.jobs.get()), (0, 1, 1));
}

#[tokio::test]
async fn render_threads_have_the_stack_codecs_need() {
    fn deep(levels: usize) -> usize {
        let block = std::hint::black_box([1_u8; 16 << 10]);
        if levels == 0 { 0 } else { deep(levels - 1) + usize::from(block[levels % block.len()]) }
    }
    let (cpu, _) = cpu(1, 0);
    let ticket = cpu.admit(SMALL, soon()).await.unwrap();
    assert_eq!(cpu.run(ticket, || deep(350)).await, Ok(350), "5.5 MiB deep");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_all_kinds_ends_with_everything_free() {
    let (cpu, metrics) = cpu(3, 20);
    let storm: Vec<_> = (0..600_u64)
        .map(|n| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move {
                let cost = Cost { bytes: (n * 7_919 % 101) * MIB, pixels: n * 100_000 };
                let deadline = Instant::now() + Duration::from_millis(5 + n % 200);
                let Ok(ticket) = cpu.admit(cost, deadline).await else { return };
                let job = move || {
                    std::thread::sleep(Duration::from_micros(n % 700));
                    assert!(!n.is_multiple_of(17), "meant to");
                };
                let run = cpu.run(ticket, job);
                if n.is_multiple_of(5) {
                    let _ = tokio::time::timeout(Duration::from_micros(50), run).await;
                } else {
                    let _ = run.await;
                }
            })
        })
        .collect();
    for one in storm {
        tokio::time::timeout(Duration::from_secs(20), one).await.expect("it hangs").unwrap();
    }
    until(|| all_free(&metrics)).await;
    drop(cpu.admit(Cost { bytes: 100 * MIB, pixels: u64::MAX }, soon()).await.unwrap());
}
