//! Follows a configuration in a file: for tests, benches and proxies without a cluster.
//!
//! In: a path. Out: its content, each time that it changed.

use super::Content;
use std::{path::Path, time::Duration};
use tokio::{fs, sync::mpsc, time::sleep};

/// How often the file is read. Its writer has no way to tell us.
const LOOK: Duration = Duration::from_millis(100);

/// Follows `path` until nobody listens any more.
pub async fn follow(path: &Path, contents: mpsc::Sender<Content>) {
    let mut last = None;
    loop {
        match fs::read_to_string(path).await {
            Ok(text) if last.as_ref() != Some(&text) => {
                last = Some(text.clone());
                let content = Content { plain: Some(text), compressed: None, revision: None };
                if contents.send(content).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(path = %path.display(), %error, "cannot read the configuration"),
        }
        sleep(LOOK).await;
    }
}
