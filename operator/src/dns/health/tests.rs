use super::*;
use serde_json::json;
use tokio::time::advance;

fn seen(uid: &str) -> Seen {
    Seen {
        uid: uid.into(),
        name: format!("coredns-{uid}"),
        running: true,
        ready: true,
        restarts: 0,
        crash_loop: false,
        ended: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ended(started: &str, finished: &str, failed: bool) -> Ended {
    Ended {
        started: Some(at(started)),
        finished: Some(at(finished)),
        failed,
        says: "Error, exit code 1".into(),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_no_harm_is_watched_to_the_end_of_the_window() {
    let pods = [seen("a"), seen("b")];
    let mut watch = Watch::begin(&pods, Instant::now());
    for _ in 0..17 {
        advance(seconds(10)).await;
        assert_eq!(watch.judge(&pods, Instant::now()), Verdict::Watching);
    }
    advance(seconds(10)).await;
    assert_eq!(watch.judge(&pods, Instant::now()), Verdict::Well);
}

#[tokio::test(start_paused = true)]
async fn a_short_lapse_is_forgiven_a_long_one_is_not() {
    let mut pods = [seen("a"), seen("b")];
    let mut watch = Watch::begin(&pods, Instant::now());
    pods[1].ready = false;
    assert_eq!(watch.judge(&pods, Instant::now()), Verdict::Watching);
    advance(seconds(9)).await;
    assert_eq!(watch.judge(&pods, Instant::now()), Verdict::Watching);
    pods[1].ready = true;
    assert_eq!(watch.judge(&pods, Instant::now()), Verdict::Watching);
    pods[1].ready = false;
    assert_eq!(watch.judge(&pods, Instant::now()), Verdict::Watching, "counted anew");
    advance(seconds(10)).await;
    let verdict = watch.judge(&pods, Instant::now());
    assert_eq!(verdict, Verdict::Failed("pod coredns-b is not ready since 10 s".into()));
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_has_time_to_start_and_none_to_be_placed() {
    let mut watch = Watch::begin(&[seen("a")], Instant::now());
    let mut new = Seen { running: false, ready: false, ..seen("new") };
    advance(seconds(100)).await;
    assert_eq!(watch.judge(&[seen("a"), new.clone()], Instant::now()), Verdict::Watching);
    new.running = true;
    assert_eq!(watch.judge(&[seen("a"), new.clone()], Instant::now()), Verdict::Watching);
    advance(seconds(59)).await;
    assert_eq!(watch.judge(&[seen("a"), new.clone()], Instant::now()), Verdict::Watching);
    advance(seconds(1)).await;
    assert!(matches!(watch.judge(&[seen("a"), new.clone()], Instant::now()), Verdict::Failed(_)));
    assert_eq!(watch.judge(&[seen("a")], Instant::now()), Verdict::Watching, "the pod is gone");
}

#[tokio::test(start_paused = true)]
async fn a_restart_counts_only_if_it_came_after_the_change_and_failed() {
    let old = Seen {
        restarts: 3,
        ended: Some(ended("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", true)),
        ..seen("a")
    };
    let mut watch = Watch::begin(std::slice::from_ref(&old), Instant::now());
    assert_eq!(watch.judge(std::slice::from_ref(&old), Instant::now()), Verdict::Watching);
    let again = Seen { restarts: 4, ..old.clone() };
    let verdict = watch.judge(std::slice::from_ref(&again), Instant::now());
    assert_eq!(verdict, Verdict::Failed("pod coredns-a failed (Error, exit code 1)".into()));
    let told = Seen { ended: Some(ended("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", false)), ..again };
    assert_eq!(watch.judge(&[told], Instant::now()), Verdict::Watching, "it was told to end");
}

#[test]
fn later_only_a_start_with_the_new_corefile_counts() {
    let written = at("2026-01-01T12:00:00Z");
    let pod = |started, finished, failed| Seen {
        running: false,
        ready: false,
        crash_loop: true,
        ended: Some(ended(started, finished, failed)),
        ..seen("a")
    };
    let says = |pod: Seen| failing_since(&[seen("b"), pod], written);
    assert!(says(pod("2026-01-01T13:00:00Z", "2026-01-01T13:00:01Z", true)).is_some());
    assert!(says(pod("2026-01-01T11:00:00Z", "2026-01-01T11:00:01Z", true)).is_none(), "before the change");
    assert!(says(pod("2026-01-01T13:00:00Z", "2026-01-01T19:00:01Z", true)).is_none(), "it had served");
    assert!(says(pod("2026-01-01T13:00:00Z", "2026-01-01T13:00:01Z", false)).is_none(), "it was told to end");
    assert!(
        says(Seen { crash_loop: false, ..pod("2026-01-01T13:00:00Z", "2026-01-01T13:00:01Z", true) })
            .is_none()
    );
}

#[test]
fn dns_that_is_ill_already_is_not_changed() {
    assert_eq!(fit_for_change(&[seen("a"), seen("b")]), Ok(()));
    let placeless = Seen { running: false, ready: false, ..seen("b") };
    assert_eq!(fit_for_change(&[seen("a"), placeless.clone()]), Ok(()));
    assert_eq!(fit_for_change(&[placeless]), Err("no pod is ready".into()));
    assert_eq!(fit_for_change(&[]), Err("no pod is ready".into()));
    let unready = Seen { ready: false, ..seen("b") };
    assert_eq!(fit_for_change(&[seen("a"), unready]), Err("pod coredns-b is not ready".into()));
    let looping = Seen { running: false, ready: false, crash_loop: true, ..seen("b") };
    assert!(fit_for_change(&[seen("a"), looping]).is_err());
}

#[test]
fn pods_are_seen_by_their_container() {
    let pod = |status| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "coredns-a", "uid": "a"},
            "status": {"containerStatuses": [{"name": "other", "ready": true, "restartCount": 9, "image": "", "imageID": ""}, status]},
        }))
        .unwrap()
    };
    let loops = pod(json!({
        "name": "coredns", "ready": false, "restartCount": 2, "image": "", "imageID": "",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such plugin\n",
            "startedAt": "2026-01-01T13:00:00Z", "finishedAt": "2026-01-01T13:00:01Z"}},
    }));
    let mut leaving = loops.clone();
    leaving.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-01T13:00:00Z")).unwrap());
    let runs = pod(json!({
        "name": "coredns", "ready": true, "restartCount": 0, "image": "", "imageID": "",
        "state": {"running": {"startedAt": "2026-01-01T13:00:00Z"}},
    }));
    let found = see(&[loops, leaving, runs], "coredns");
    assert_eq!(found.len(), 2);
    assert!(found[0].crash_loop && !found[0].running && !found[0].ready && found[0].restarts == 2);
    assert_eq!(found[0].ended.as_ref().unwrap().says, "Error, exit code 1: no such plugin");
    assert!(found[1].running && found[1].ready && found[1].ended.is_none());
}
