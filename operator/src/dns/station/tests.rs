use super::*;
use crate::{
    report::Message,
    testing::{FakeApi, configmap_path, kubeadm, pod, pod_path},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedReceiver, time::advance};

const COREFILE: &str = ".:53 {\n    errors\n    reload\n}\n";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
const SERVICE: &str = "/api/v1/namespaces/weft/services/weft-dns";

struct Bench {
    api: FakeApi,
    station: Station,
    messages: UnboundedReceiver<Message>,
}

impl Bench {
    async fn new(api: FakeApi) -> Self {
        let (reporter, messages) = Reporter::channel();
        let zones = vec!["mesh".to_owned(), "maesh".to_owned()];
        let settings = DnsSettings { namespace: "weft".into(), zones, manage: true };
        let station = Station::new(Cluster::new(api.client().await, "weft"), settings, reporter);
        Self { api, station, messages }
    }

    /// Looks until nothing more is to be done at once.
    async fn settle(&mut self) -> Duration {
        for _ in 0..6 {
            let within = self.station.look(Instant::now()).await.unwrap();
            if within > SOON {
                return within;
            }
        }
        panic!("it does not settle")
    }

    fn corefile(&self) -> String {
        self.api.text("coredns", "Corefile").unwrap()
    }

    fn is_in(&self) -> bool {
        self.corefile().contains("mesh:53 maesh:53 {")
    }

    /// The reasons and notes of the last state, and of what was told once.
    fn told(&mut self) -> (Vec<(Reason, String)>, Vec<Reason>) {
        let (mut state, mut once) = (Vec::new(), Vec::new());
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::State(Source::Dns, findings) => {
                    state = findings.into_iter().map(|finding| (finding.reason, finding.note)).collect();
                }
                Message::Once(finding) => once.push(finding.reason),
                Message::State(..) => panic!("not ours"),
            }
        }
        (state, once)
    }

    fn reasons(&mut self) -> Vec<Reason> {
        self.told().0.into_iter().map(|(reason, _)| reason).collect()
    }
}

fn crashing(name: &str) -> Value {
    let mut pod = pod(name);
    pod["status"]["containerStatuses"][0] = json!({
        "name": "coredns", "ready": false, "restartCount": 1, "image": "", "imageID": "",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such plugin",
            "startedAt": "2026-01-01T13:00:00Z", "finishedAt": "2026-01-01T13:00:01Z"}},
    });
    pod
}

#[tokio::test(start_paused = true)]
async fn the_zones_are_added_once_and_watched_until_all_is_well() {
    let mut bench = Bench::new(kubeadm(COREFILE)).await;
    assert_eq!(bench.settle().await, CLOSELY);
    assert!(bench.is_in() && bench.corefile().starts_with(COREFILE));
    assert!(bench.corefile().contains("forward . 10.96.0.7 {"));
    assert_eq!(bench.api.writes(), [format!("PATCH {}", configmap_path("coredns"))]);
    assert_eq!(bench.reasons(), [Reason::DnsPatched]);
    advance(Duration::from_secs(180)).await;
    assert_eq!(bench.settle().await, PERIOD);
    advance(Duration::from_secs(3600)).await;
    bench.api.patch(&pod_path("coredns-a"), &json!({"status": {"containerStatuses": []}}));
    assert_eq!(bench.settle().await, PERIOD, "what happens an hour later has other causes");
    assert_eq!(bench.api.writes(), Vec::<String>::new());
    assert_eq!(bench.station.watched().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobodys_edit_is_lost() {
    let mut bench = Bench::new(kubeadm(COREFILE)).await;
    let edited = COREFILE.replace("errors", "log");
    bench.api.race(&configmap_path("coredns"), json!({"data": {"Corefile": edited, "Other": "x"}}));
    bench.settle().await;
    assert!(bench.is_in() && bench.corefile().starts_with(&edited));
    assert_eq!(bench.api.text("coredns", "Other").as_deref(), Some("x"));
}

#[tokio::test(start_paused = true)]
async fn a_revert_is_told_and_answered_and_a_fight_is_slowed_down() {
    let mut bench = Bench::new(kubeadm(COREFILE)).await;
    bench.settle().await;
    let revert = json!({"data": {"Corefile": COREFILE}});
    bench.api.patch(&configmap_path("coredns"), &revert);
    bench.settle().await;
    assert!(bench.is_in(), "at once");
    assert_eq!(bench.told().1, [Reason::DnsReverted]);
    for wait in [2, 4, 8] {
        bench.api.patch(&configmap_path("coredns"), &revert);
        assert_eq!(bench.settle().await, Duration::from_secs(wait));
        assert_eq!(bench.settle().await, Duration::from_secs(wait), "a look more changes nothing");
        assert!(!bench.is_in());
        assert_eq!(bench.told().1, [Reason::DnsReverted], "once each time");
        advance(Duration::from_secs(wait)).await;
        bench.settle().await;
        assert!(bench.is_in());
        assert_eq!(bench.reasons(), [Reason::DnsPatched, Reason::DnsReverted]);
    }
    bench
        .api
        .patch(&configmap_path("coredns"), &json!({"data": {"Corefile": bench.corefile() + "# more\n"}}));
    bench.settle().await;
    assert_eq!(bench.told().1, [], "other edits are nobody's revert");
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_change_puts_all_back_until_the_rest_changes() {
    let mut bench = Bench::new(kubeadm(COREFILE)).await;
    bench.settle().await;
    bench.api.put(&pod_path("coredns-b"), crashing("coredns-b"));
    assert_eq!(bench.settle().await, PERIOD);
    assert_eq!(bench.corefile(), COREFILE, "byte for byte");
    let (state, _) = bench.told();
    assert_eq!(state[0].0, Reason::DnsPutBack);
    assert!(state[0].1.contains("no such plugin"), "{state:?}");

    bench.api.put(&pod_path("coredns-b"), pod("coredns-b"));
    bench.api.writes();
    let mut next_leader = Bench::new(bench.api.clone()).await;
    for leader in [&mut bench, &mut next_leader] {
        leader.settle().await;
        assert_eq!(leader.reasons(), [Reason::DnsPutBack]);
        assert_eq!(leader.api.writes(), Vec::<String>::new());
    }
    bench.api.patch(
        &configmap_path("coredns"),
        &json!({"data": {"Corefile": ".:53 {\n    log\n    reload\n}\n"}}),
    );
    next_leader.settle().await;
    assert!(next_leader.is_in());
    assert_eq!(next_leader.reasons(), [Reason::DnsPatched]);
    assert_eq!(bench.api.get(SERVICE).unwrap()["metadata"]["annotations"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_sees_a_crash_loop_of_pods_that_began_after_the_write() {
    let mut bench = Bench::new(kubeadm(COREFILE)).await;
    bench.settle().await;
    let fields = |time: &str| json!({"metadata": {"managedFields": [{"manager": "weft-operator", "operation": "Update", "time": time}]}});
    bench.api.put(&pod_path("coredns-b"), crashing("coredns-b"));
    let mut next_leader = Bench::new(bench.api.clone()).await;
    bench.api.patch(&configmap_path("coredns"), &fields("2026-01-01T14:00:00Z"));
    next_leader.settle().await;
    assert!(next_leader.is_in(), "it began before");
    bench.api.patch(&configmap_path("coredns"), &fields("2026-01-01T12:00:00Z"));
    next_leader.settle().await;
    assert_eq!(next_leader.corefile(), COREFILE);
    assert_eq!(next_leader.reasons(), [Reason::DnsPutBack]);
}

#[tokio::test(start_paused = true)]
async fn dns_that_is_ill_is_left_alone_until_it_is_well() {
    let mut bench = Bench::new(kubeadm(COREFILE)).await;
    bench.api.put(&pod_path("coredns-b"), crashing("coredns-b"));
    bench.settle().await;
    assert_eq!(bench.reasons(), [Reason::DnsRefused]);
    assert_eq!(bench.api.writes(), Vec::<String>::new());
    bench.api.put(&pod_path("coredns-b"), pod("coredns-b"));
    bench.settle().await;
    assert_eq!(bench.reasons(), [Reason::DnsPatched]);
}

#[tokio::test(start_paused = true)]
async fn coredns_starts_anew_only_where_it_does_not_reload() {
    let mut bench = Bench::new(kubeadm(&COREFILE.replace("    reload\n", ""))).await;
    bench.settle().await;
    let configmap = format!("PATCH {}", configmap_path("coredns"));
    assert_eq!(bench.api.writes(), [configmap.clone(), format!("PATCH {DEPLOYMENT}")]);
    bench.settle().await;
    assert_eq!(bench.api.writes(), Vec::<String>::new(), "once");
    bench.api.put(&pod_path("coredns-b"), crashing("coredns-b"));
    bench.settle().await;
    assert_eq!(bench.api.writes(), [format!("PATCH {SERVICE}"), configmap, format!("PATCH {DEPLOYMENT}")]);
    let annotations = &bench.api.get(DEPLOYMENT).unwrap()["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(*annotations, json!({}), "the template is as it was");

    let other = kubeadm(&COREFILE.replace("    reload\n", ""));
    other.forbid(DEPLOYMENT);
    let mut bench = Bench::new(other).await;
    bench.settle().await;
    assert_eq!(bench.reasons(), [Reason::DnsPatched, Reason::DnsRefused]);
}

#[tokio::test(start_paused = true)]
async fn what_keeps_it_from_writing_is_told() {
    let mut taken = Bench::new(kubeadm(&format!("{COREFILE}maesh:53 {{\n}}\n"))).await;
    taken.settle().await;
    let (state, _) = taken.told();
    assert_eq!(
        state.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(),
        [Reason::DnsPatched, Reason::DnsRefused]
    );
    assert!(state[1].1.contains("zone maesh"));

    let forbidden = kubeadm(COREFILE);
    forbidden.forbid(&configmap_path("coredns"));
    let mut bench = Bench::new(forbidden).await;
    bench.settle().await;
    assert!(bench.told().0[0].1.contains("dns.configMapNames"));

    let mut none = Bench::new(kubeadm(COREFILE)).await;
    none.api.take("/api/v1/namespaces/kube-system/services/kube-dns");
    none.settle().await;
    assert!(none.told().0[0].1.contains("no Service"));

    let mut waits = Bench::new(kubeadm(COREFILE)).await;
    waits.api.take(SERVICE);
    assert_eq!(waits.settle().await, PERIOD);
    assert_eq!(waits.told(), (vec![], vec![]));
    assert_eq!(waits.station.watched().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_the_corefile_imports_has_the_zones_under_a_key_of_its_own() {
    let corefile = format!("{COREFILE}import custom/*.server\n");
    let api = kubeadm(&corefile);
    api.put(&configmap_path("coredns-custom"), json!({"metadata": {"name": "coredns-custom", "uid": "c"}}));
    let mut bench = Bench::new(api).await;
    bench.settle().await;
    assert_eq!(bench.corefile(), corefile);
    assert!(bench.api.text("coredns-custom", "weft.server").unwrap().contains("mesh:53 maesh:53 {"));
    assert_eq!(bench.reasons(), [Reason::DnsPatched]);
    assert_eq!(bench.station.watched().len(), 4);
    bench.api.put(&pod_path("coredns-b"), crashing("coredns-b"));
    bench.settle().await;
    assert_eq!(bench.api.text("coredns-custom", "weft.server"), None);
    assert_eq!(bench.reasons(), [Reason::DnsPutBack]);

    let forbidden = kubeadm(COREFILE);
    forbidden.forbid(&configmap_path("coredns-custom"));
    let mut bench = Bench::new(forbidden).await;
    bench.settle().await;
    assert_eq!(bench.reasons(), [Reason::DnsPatched], "what is not imported need not be read");
}
