//! The bodies of answers.
//!
//! In: what is asked for. Out: a response that makes it up as it is read, so that no more than a piece is in memory.

use bytes::Bytes;
use futures::stream::{self, Stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Frame, Incoming},
    header::TRAILER,
};
use std::time::Duration;
use tokio::time::sleep;

/// How many bytes a piece of `/bytes` has: no more than this is in memory, however many are asked for.
const PIECE: u64 = 64 * 1024;
/// The bytes themselves.
static BYTES: [u8; PIECE as usize] = [b'w'; PIECE as usize];
/// The trailer that says how many bytes came before it.
const COUNT: &str = "echo-bytes";

/// The body of every answer.
pub type Body = BoxBody<Bytes, hyper::Error>;

/// This text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// So many bytes.
pub fn bytes(count: u64) -> Response<Body> {
    let pieces = (0..count.div_ceil(PIECE)).map(move |piece| {
        let length = (count - piece * PIECE).min(PIECE);
        let length = usize::try_from(length).unwrap_or_default(); // at most PIECE
        Ok(Frame::data(Bytes::from_static(&BYTES[..length])))
    });
    streamed(stream::iter(pieces))
}

/// So many lines, with a pause before each but the first.
pub fn lines(count: u64, interval: Duration) -> Response<Body> {
    streamed(stream::unfold(0, move |number| async move {
        if number == count {
            return None;
        }
        if number > 0 {
            sleep(interval).await;
        }
        Some((Ok(Frame::data(format!("{number}\n").into())), number + 1))
    }))
}

/// The body as it comes, without its own trailers, and a trailer that says how long it was.
pub fn counted(body: Incoming) -> Response<Body> {
    let frames = stream::unfold(Some((body, 0)), |state| async {
        let (mut body, count) = state?;
        match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                let count = count + data.len();
                Some((Ok(Frame::data(data)), Some((body, count))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            Some(Ok(Err(_))) | None => {
                let mut trailers = HeaderMap::new();
                trailers.insert(COUNT, count.into());
                Some((Ok(Frame::trailers(trailers)), None))
            }
        }
    });
    let mut response = streamed(frames);
    // Over HTTP/1 only what is announced can come.
    response.headers_mut().insert(TRAILER, const { hyper::header::HeaderValue::from_static(COUNT) });
    response
}

fn streamed(
    frames: impl Stream<Item = hyper::Result<Frame<Bytes>>> + Send + Sync + 'static,
) -> Response<Body> {
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}
