//! A lot of bytes: all of them arrive, whoever is slow, and nothing piles up.

use crate::common::{
    Mesh,
    backend::Backend,
    connect, free_port,
    streams::{echo, note, pattern, read, read_to_end, reset},
    tcp, within,
};
use std::{fs, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::sleep,
};

const LARGE: usize = 16 * 1024 * 1024;
/// More than the kernel holds of two connections with the largest buffers it gives.
const HUGE: usize = 96 * 1024 * 1024;

/// How many files are open, and how many of them are ends of pipes.
fn open_files() -> (usize, usize) {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let links: Vec<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    (links.len(), links.iter().filter(|link| link.starts_with("pipe:")).count())
}

#[tokio::test]
async fn both_directions_at_once_spliced_and_copied() {
    let _alone = crate::ALONE.lock().await;
    let backend = echo().await;
    let port = free_port();
    let sent = pattern(LARGE);
    for splice in [true, false] {
        let mut mesh = Mesh::start_with(tempfile::tempdir().unwrap(), splice);
        mesh.apply(vec![tcp("store", port, &[backend.address])]).await;
        let (mut reading, mut writing) = connect(port).await.into_split();
        let to_send = sent.clone();
        let writer = tokio::spawn(async move {
            writing.write_all(&to_send).await.unwrap();
            writing.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        within(reading.read_to_end(&mut back)).await.unwrap();
        within(writer).await.unwrap();
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
        for direction in ["received", "sent"] {
            let direction = format!("direction=\"{direction}\"");
            mesh.shows("tcp_bytes_total", "store", &direction, sent.len() as u64).await;
        }
        mesh.apply(vec![]).await;
    }
}

#[tokio::test]
async fn a_slow_reader_holds_its_sender_up_and_loses_nothing() {
    let _alone = crate::ALONE.lock().await;
    let all = Arc::new(pattern(HUGE));
    let to_send = Arc::clone(&all);
    // Notes how much it could send before nothing moved any more.
    let backend = Backend::connections(move |mut stream, _, noted| {
        let all = Arc::clone(&to_send);
        async move {
            let mut sent = 0;
            while let Ok(written) =
                tokio::time::timeout(Duration::from_millis(500), stream.write(&all[sent..])).await
            {
                sent += written.unwrap();
            }
            note(&noted, sent.to_string().as_bytes());
            stream.write_all(&all[sent..]).await.unwrap();
        }
    })
    .await;
    let others = open_files().1;
    for (number, splice) in [true, false].into_iter().enumerate() {
        let port = free_port();
        let mut mesh = Mesh::start_with(tempfile::tempdir().unwrap(), splice);
        mesh.apply(vec![tcp("store", port, &[backend.address])]).await;
        let mut client = connect(port).await;
        let held = backend.noted(number + 1).await.pop().unwrap();
        let held: usize = String::from_utf8(held).unwrap().parse().unwrap();
        assert!(held < HUGE / 2, "{held} bytes are on their way to a client that does not read");
        let pipes = open_files().1 - others;
        assert_eq!(pipes, if splice { 2 } else { 0 }, "what is stuck is in a pipe, where there are pipes");
        let got = read_to_end(&mut client).await;
        assert!(got == *all, "{} bytes", got.len());
    }
}

#[tokio::test]
async fn resets_in_the_middle_leave_no_file_open() {
    let _alone = crate::ALONE.lock().await;
    let all = Arc::new(pattern(LARGE));
    let backend = Backend::connections(move |mut stream, number, _| {
        let all = Arc::clone(&all);
        async move {
            if number % 2 == 0 {
                let _ = stream.write_all(&all).await;
            } else {
                let _ = stream.write_all(&all[..LARGE / 4]).await;
                reset(stream);
            }
        }
    })
    .await;
    let (port, before) = (free_port(), open_files().1);
    let mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let mut files = Vec::new();
    for _ in 0..3 {
        let mut clients = JoinSet::new();
        for _ in 0..32 {
            clients.spawn(async move {
                let mut client = connect(port).await;
                let mut bytes = vec![0; 64 * 1024];
                let _ = client.read(&mut bytes).await;
                sleep(Duration::from_millis(20)).await;
                reset(client);
            });
        }
        within(clients.join_all()).await;
        mesh.shows("connections", "store", "", 0).await;
        files.push(open_files());
    }
    // Each worker keeps some pipes that hold nothing; whatever else there was is closed.
    let (_, pipes) = files[2];
    assert!(pipes - before <= 2 * 2 * 16, "{files:?}");
    let others: Vec<usize> = files.iter().map(|(all, pipes)| all - pipes).collect();
    assert!(others[2] <= others[0] + 3, "{files:?}");
}

#[tokio::test]
async fn one_connection_with_much_to_say_holds_up_no_other() {
    let _alone = crate::ALONE.lock().await;
    let backend = echo().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![tcp("store", port, &[backend.address])]).await;
    let mut busy = JoinSet::new();
    for _ in 0..4 {
        let (mut reading, mut writing) = connect(port).await.into_split();
        busy.spawn(async move {
            let bytes = vec![0; 256 * 1024];
            while writing.write_all(&bytes).await.is_ok() {}
        });
        busy.spawn(async move {
            let mut bytes = vec![0; 256 * 1024];
            while reading.read(&mut bytes).await.is_ok_and(|bytes| bytes > 0) {}
        });
    }
    let mut quiet = connect(port).await;
    for _ in 0..100 {
        within(quiet.write_all(b"ping")).await.unwrap();
        assert_eq!(read(&mut quiet, 4).await, b"ping");
    }
}
