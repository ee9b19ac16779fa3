//! What a direction keeps, and which way of moving it takes.

use super::*;
use std::{future::poll_fn, net::Ipv4Addr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Two ends of one connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (one, listener.accept().await.unwrap().0)
}

/// Moves until there is nothing to move.
async fn advance(direction: &mut Direction<'_>, mover: &Mover) {
    poll_fn(|context| match direction.poll(context, mover) {
        Poll::Ready(broken) => panic!("{broken:?}"),
        Poll::Pending => Poll::Ready(()),
    })
    .await;
}

#[tokio::test]
async fn what_was_read_before_goes_first() {
    let ((mut client, from), (to, mut endpoint)) = (pair().await, pair().await);
    let mover = Mover::new(true);
    let mut direction = Direction::new(&from, &to, (*b"first, ").into());
    assert_eq!(
        direction.untouched().as_deref(),
        Some(b"first, ".as_slice()),
        "and can be had back until then"
    );
    let mut direction = Direction::new(&from, &to, (*b"first, ").into());
    client.write_all(b"second").await.unwrap();
    from.readable().await.unwrap();
    to.writable().await.unwrap();
    advance(&mut direction, &mover).await;
    let mut heard = [0; 13];
    endpoint.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"first, second");
    assert_eq!(direction.untouched(), None);
    assert_eq!((direction.take_moved(), direction.take_moved()), (13, 0));
}

#[tokio::test]
async fn much_is_spliced_and_little_is_copied() {
    let ((_client, from), (to, _endpoint)) = (pair().await, pair().await);
    let mut direction = Direction::new(&from, &to, Box::default());
    for (bytes, much) in [
        (MUCH, false),
        (1, false),
        (MUCH, false),
        (BUFFER, true),
        (1, true),
        (MUCH, true),
        (1, true),
        (MUCH - 1, false),
    ] {
        direction.weigh(bytes);
        assert_eq!(direction.much, much, "{bytes}");
    }
}

#[tokio::test]
async fn bytes_in_a_pipe_that_leads_nowhere_are_copied_on() {
    let ((mut client, from), (to, mut endpoint)) = (pair().await, pair().await);
    let mover = Mover::new(true);
    let mut direction = Direction::new(&from, &to, Box::default());
    client.write_all(b"in the pipe").await.unwrap();
    from.readable().await.unwrap();
    to.writable().await.unwrap();
    let mut pipe = mover.pipes.lend().unwrap();
    pipe.fill(&from).unwrap();
    direction.held = Held::Piped(pipe);
    let error = io::Error::from(rustix::io::Errno::INVAL);
    assert!(matches!(direction.unpipe(&mover, error), Ok(Step::Moved(0))));
    assert!(mover.pipes.lend().is_none(), "it is not tried again");
    advance(&mut direction, &mover).await;
    let mut heard = [0; 11];
    endpoint.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"in the pipe");
}
