//! The node's ConfigMap is followed through an API server that lists, watches, breaks off and comes back.

use crate::common::{Mesh, backend::Backend, content, free_port, http, message, within};
use kube::{Client, Config};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{mpsc, watch},
    time::sleep,
};
use weft_proxy::configuration::{Content, follow_cluster};

type Served = Option<(u32, Content)>;

fn map(version: u32, content: &Content) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "weft-node-node-1", "namespace": "weft", "resourceVersion": version.to_string(),
            "annotations": { "weft.mesh/revision": content.revision },
        },
        "data": { "configuration.json": content.plain },
    })
}

async fn answer(stream: &mut TcpStream, body: &str) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Serves one connection of the API: each watch shows one change, then breaks off.
async fn serve(mut stream: TcpStream, mut now: watch::Receiver<Served>) {
    while let Ok(Some(request)) = message::read(&mut stream, false).await {
        assert!(request.head.starts_with("GET /api/v1/namespaces/weft/configmaps?"), "{}", request.head);
        assert!(request.head.contains("fieldSelector=metadata.name%3Dweft-node-node-1"), "{}", request.head);
        if !request.head.contains("watch=true") {
            let served = now.borrow_and_update().clone();
            let version = served.as_ref().map_or(1, |(version, _)| *version).to_string();
            let items: Vec<_> = served.iter().map(|(version, content)| map(*version, content)).collect();
            let list = serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMapList",
                "metadata": { "resourceVersion": version }, "items": items,
            });
            answer(&mut stream, &list.to_string()).await;
            continue;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await.unwrap();
        now.changed().await.unwrap();
        let Some((version, content)) = now.borrow_and_update().clone() else { return };
        let event = serde_json::json!({ "type": "MODIFIED", "object": map(version, &content) });
        stream.write_all(format!("{event}\n").as_bytes()).await.unwrap();
        return;
    }
}

#[tokio::test]
async fn the_configmap_is_followed_through_breaks_and_bad_content() {
    let (cluster, now) = watch::channel::<Served>(None);
    let now = Arc::new(now);
    let api = Backend::connections(move |stream, _, _| serve(stream, (*now).clone())).await;
    let client = Client::try_from(Config::new(format!("http://{}", api.address).parse().unwrap())).unwrap();
    let (sender, mut contents) = mpsc::channel(1);
    tokio::spawn(async move { follow_cluster(client, "weft", "node-1", sender).await });

    let mut mesh = Mesh::start(tempfile::tempdir().unwrap());
    let good = |port| content(vec![http("web", port, &[])]);
    let bad = Content { plain: Some("{}".into()), compressed: None, revision: Some("beef".into()) };
    for (version, (revision, content)) in
        [(2, good(free_port())), (3, ("beef".to_owned(), bad)), (4, good(free_port()))]
    {
        cluster.send_replace(Some((version, content.clone())));
        let taken = async {
            loop {
                let next = contents.recv().await.unwrap();
                mesh.proxy.take(&next);
                if next == content {
                    return;
                }
            }
        };
        within(taken).await;
        if revision == "beef" {
            let rejected = mesh.proxy.status.confirmation().rejected.unwrap();
            assert_eq!(rejected.revision.as_deref(), Some("beef"));
        } else {
            mesh.in_force(&revision).await;
            assert_eq!(mesh.proxy.status.confirmation().rejected, None);
        }
        // The watch broke off; the next change must be seen all the same.
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_client_of_an_api_server_with_tls_can_be_made() {
    assert!(Client::try_from(Config::new("https://127.0.0.1:1".parse().unwrap())).is_ok());
}
