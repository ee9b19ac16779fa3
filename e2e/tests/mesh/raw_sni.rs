//! TLS passed on by the server name: openssl's servers, with openssl and curl as clients.

use crate::scene::Scene;
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use std::{env, fs, process};
use weft_e2e::{
    program,
    programs::Shell,
    wait::{eventually, seconds},
};

/// It shows its own command line, so that one sees which server answered. It takes every version of TLS that openssl has.
const SERVER: &str = "exec openssl s_server -accept 8443 -cert /files/NAME.crt -key /files/NAME.key -www \
                      -cipher 'ALL:@SECLEVEL=0' -min_protocol TLSv1";

#[tokio::test]
async fn tls_goes_by_the_server_name_as_the_client_sent_it() -> Result<()> {
    let scene = Scene::set("e2e-sni").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let trusted = server(&scene, "a", "DNS:a.example.com,DNS:exact.b.example.com").await?
        + &server(&scene, "b", "DNS:*.b.example.com").await?;
    let (node, shell) = scene.shell().await?;
    shell.run(&format!("cat >/tmp/trusted.pem <<'END'\n{trusted}\nEND")).await?;
    cluster.rolled_out(namespace, "a").await?;
    cluster.rolled_out(namespace, "b").await?;
    let ports = |port: u16| json!([{"name": "tls", "port": port, "targetPort": 8443}]);
    cluster.meshed(namespace, "a", ports(443), &[("traffic-type", "tcp")], "443 (tcp)").await?;
    cluster.meshed(namespace, "b", ports(8443), &[("traffic-type", "tcp")], "8443 (tcp)").await?;
    let routes = "a.example.com=a, *.b.example.com=b:8443, exact.b.example.com=a";
    let annotations = [("traffic-type", "tcp"), ("sni-routes", routes)];
    cluster.meshed_pods(namespace, "front", "nobody", ports(443), &annotations, "443 (tcp)").await?;
    let front = Front { place: format!("{}:443", scene.host("front")), shell };

    // The certificate must be that of the name, so an answer is one of the right server.
    front.answers("a.example.com", "a").await?;
    front.answers("A.Example.com", "a").await?;
    front.answers("one.b.example.com", "b").await?;
    front.answers("exact.b.example.com", "a").await?;
    for version in ["tls1", "tls1_1", "tls1_2", "tls1_3"] {
        let session = front.openssl("one.b.example.com", &format!("-{version}")).await?;
        ensure!(session.contains("subject=CN = b"), "{version}: {session}");
    }
    front
        .is_refused(&["-servername other.example.com", "-servername b.example.com", "-noservername"])
        .await?;
    // Neither TLS nor anything else that is answered: closed at once, not after a time.
    let (success, printed) = front
        .shell
        .attempt(&format!("curl --silent --show-error --max-time 5 http://{}/", front.place))
        .await?;
    ensure!(!success && !printed.contains("timed out"), "{printed}");
    let (_, client) = scene.first()?;
    let counted = client.metrics(node, &["weft_tcp_refused_total", namespace, "unknown_server_name"]).await?;
    ensure!(!counted.is_empty(), "what was refused is not counted");

    let change =
        json!({"metadata": {"annotations": {"weft.mesh/sni-routes": format!("{routes}, *=b:8443")}}});
    cluster.merge::<Service>(namespace, "front", change).await?;
    eventually("other names have a place to go to", seconds(30), || async {
        let session = front.openssl("other.example.com", "").await?;
        ensure!(session.contains("subject=CN = b"), "{session}");
        Ok(())
    })
    .await?;
    front.answers("a.example.com", "a").await?;
    scene.strike().await
}

/// Where TLS goes on from by the server name.
struct Front {
    place: String,
    shell: Shell,
}

impl Front {
    /// Demands that curl, asking for this name, is answered by that server, with a certificate of the name.
    async fn answers(&self, name: &str, server: &str) -> Result<()> {
        let page = self
            .shell
            .run(&format!(
                "curl --silent --show-error --max-time 5 --cacert /tmp/trusted.pem --connect-to '::{}' https://{name}/",
                self.place
            ))
            .await?;
        ensure!(page.contains(&format!("/files/{server}.crt")), "{name}: {page}");
        Ok(())
    }

    /// What openssl tells of a session with this name.
    async fn openssl(&self, name: &str, more: &str) -> Result<String> {
        let Self { place, shell } = self;
        let client = format!("timeout 5 openssl s_client -connect {place} -cipher 'ALL:@SECLEVEL=0'");
        shell.run(&format!("{client} -servername {name} {more} </dev/null 2>&1")).await
    }

    /// Demands that openssl is told by an alert that the name is not known (RFC 6066, section 3).
    async fn is_refused(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let script = format!("timeout 5 openssl s_client -connect {} {name} </dev/null", self.place);
            let (success, printed) = self.shell.attempt(&script).await?;
            ensure!(!success && printed.contains("SSL alert number 112"), "{name}: {printed}");
        }
        Ok(())
    }
}

/// A server of TLS with a certificate for these names; the certificate.
async fn server(scene: &Scene, name: &str, names: &str) -> Result<String> {
    let folder = env::temp_dir().join(format!("weft-e2e-sni-{}-{name}", process::id()));
    fs::create_dir_all(&folder)?;
    let [key, certificate] = ["key", "crt"].map(|end| folder.join(end).display().to_string());
    let [subject, names] = [format!("/CN={name}"), format!("subjectAltName={names}")];
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let more = ["-days", "2", "-subj", &subject, "-addext", &names, "-keyout", &key, "-out", &certificate];
    let arguments: Vec<&str> = request.into_iter().chain(more).collect();
    program::run("openssl", &arguments).await?;
    let [key, certificate] = [fs::read_to_string(&key)?, fs::read_to_string(&certificate)?];
    fs::remove_dir_all(&folder)?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let files = [(&*format!("{name}.key"), &*key), (&*format!("{name}.crt"), &*certificate)];
    cluster.files(namespace, name, &files).await?;
    cluster.program(namespace, name, 1, Some(8443), &SERVER.replace("NAME", name)).await?;
    Ok(certificate)
}
