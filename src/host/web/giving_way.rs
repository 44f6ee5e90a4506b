//! Lets the worker hear its messages while it computes. A GPU's answers come as messages themselves; the CPU executor only
//! says when it could pause, and then somebody has to wait for a message.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// Drives `work` to its end. Whenever it gives way, that is, comes back although it could go on, messages that wait are
/// heard; where it waits for something else, nothing is added to the wait.
pub(super) async fn giving_way<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        let step = poll_fn(|cx| {
            let pause = Arc::new(Pause { could_go_on: AtomicBool::new(false), outer: cx.waker().clone() });
            match work.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&pause)))) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if pause.could_go_on.load(Ordering::Relaxed) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        match step.await {
            Some(done) => return done,
            None => turn().await,
        }
    }
}

/// Notices whether work was woken by itself, before it came back.
struct Pause {
    could_go_on: AtomicBool,
    outer: Waker,
}

impl Wake for Pause {
    fn wake(self: Arc<Self>) {
        self.could_go_on.store(true, Ordering::Relaxed);
        self.outer.wake_by_ref();
    }
}

/// One turn of the event loop, by a message to ourselves: timers are slowed down where they follow each other.
pub(super) async fn turn() {
    let Ok(channel) = MessageChannel::new() else { return };
    let mut ask = |resolve: js_sys::Function, _reject| {
        channel.port1().set_onmessage(Some(resolve.unchecked_ref()));
        // A message that cannot be posted would never come.
        if channel.port2().post_message(&wasm_bindgen::JsValue::NULL).is_err() {
            let _ = resolve.call0(&wasm_bindgen::JsValue::NULL);
        }
    };
    let _ = JsFuture::from(js_sys::Promise::new(&mut ask)).await;
    channel.port1().close();
}
