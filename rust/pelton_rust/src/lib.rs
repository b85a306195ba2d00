//! The Rust libraries that Pelton stands on, behind one C ABI (`include/pelton_rust.h`).
//!
//! Every entry runs inside `guard`, so no panic unwinds into C++; all pointers are checked for null
//! where null is not documented as allowed.

mod bpe;
mod guarding;
mod pretokenizer;
mod pyjson;
mod template;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub const OK: i32 = 0;
pub const INVALID: i32 = 1;
pub const LIMIT: i32 = 2;
pub const INTERNAL: i32 = 3;

/// An error code and its one line of text.
pub struct Failure {
    pub code: i32,
    pub text: String,
}

impl Failure {
    pub fn invalid(text: impl Into<String>) -> Self {
        Failure { code: INVALID, text: text.into() }
    }
    pub fn limit(text: impl Into<String>) -> Self {
        Failure { code: LIMIT, text: text.into() }
    }
    pub fn internal(text: impl Into<String>) -> Self {
        Failure { code: INTERNAL, text: text.into() }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    data: *const u8,
    size: usize,
}

impl Str {
    /// # Safety
    /// `data` must point at `size` readable bytes that outlive the returned slice.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }

    /// # Safety
    /// As for `bytes`.
    unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Failure> {
        // SAFETY: promised by the caller.
        std::str::from_utf8(unsafe { self.bytes() })
            .map_err(|e| Failure::invalid(format!("{what}: invalid UTF-8 at byte {}", e.valid_up_to())))
    }
}

/// A vector handed to C: data, size, capacity.
#[repr(C)]
pub struct Owned<T> {
    data: *mut T,
    size: usize,
    capacity: usize,
}

impl<T> Owned<T> {
    fn take(&mut self) -> Vec<T> {
        let (data, size, capacity) = (self.data, self.size, self.capacity);
        *self = Owned { data: std::ptr::null_mut(), size: 0, capacity: 0 };
        if data.is_null() {
            return Vec::new();
        }
        // SAFETY: a non-null buffer was made by `put` from a Vec<T> of this allocator.
        unsafe { Vec::from_raw_parts(data, size, capacity) }
    }

    fn put(&mut self, mut v: Vec<T>) {
        drop(self.take());
        if v.capacity() == 0 {
            return;
        }
        *self = Owned { data: v.as_mut_ptr(), size: v.len(), capacity: v.capacity() };
        std::mem::forget(v);
    }
}

/// Runs `body`, writes its error (or its panic) to `error`, and answers with the code.
fn guard(error: *mut Owned<u8>, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let failure = match outcome {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(payload) => Failure::internal(panic_text(payload)),
    };
    if !error.is_null() {
        // SAFETY: a non-null error buffer is valid by the ABI's contract.
        unsafe { (*error).put(failure.text.into_bytes()) };
    }
    failure.code
}

pub fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    let said = payload
        .downcast_ref::<&str>()
        .map(|s| s.to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_string());
    format!("panic: {said}")
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_bytes_free(bytes: *mut Owned<u8>) {
    if !bytes.is_null() {
        // SAFETY: filled by this library or zeroed, by the ABI's contract.
        drop(unsafe { (*bytes).take() });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_ids_free(ids: *mut Owned<u32>) {
    if !ids.is_null() {
        // SAFETY: filled by this library or zeroed, by the ABI's contract.
        drop(unsafe { (*ids).take() });
    }
}

#[repr(C)]
pub struct Piece {
    text: Str,
    id: u32,
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_bpe_new(
    pieces: *const Piece,
    piece_count: usize,
    merges: *const Str,
    merge_count: usize,
    pre: Str,
    out: *mut *mut bpe::Bpe,
    error: *mut Owned<u8>,
) -> i32 {
    guard(error, || {
        // SAFETY: both arrays have the stated lengths and every string is readable during the call.
        let (pieces, merges) = unsafe { (slice(pieces, piece_count), slice(merges, merge_count)) };
        let mut vocab = Vec::with_capacity(pieces.len());
        for piece in pieces {
            // SAFETY: as above.
            vocab.push((unsafe { piece.text.text("token") }?, piece.id));
        }
        let mut pairs = Vec::with_capacity(merges.len());
        for merge in merges {
            // SAFETY: as above.
            pairs.push(unsafe { merge.text("merge") }?);
        }
        // SAFETY: as above.
        let pre = unsafe { pre.text("tokenizer.ggml.pre") }?;
        let made = Box::new(bpe::Bpe::new(&vocab, &pairs, pre)?);
        // SAFETY: `out` is a valid place by the ABI's contract.
        unsafe { *out = Box::into_raw(made) };
        Ok(())
    })
}

/// # Safety
/// `data` points at `count` values, or `count` is 0.
unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(data, count) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_bpe_free(bpe: *mut bpe::Bpe) {
    if !bpe.is_null() {
        // SAFETY: made by pelton_rust_bpe_new and given back once.
        drop(unsafe { Box::from_raw(bpe) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_bpe_encode(
    bpe: *const bpe::Bpe,
    text: Str,
    out: *mut Owned<u32>,
    error: *mut Owned<u8>,
) -> i32 {
    guard(error, || {
        // SAFETY: a live object, readable text and a valid output, by the ABI's contract.
        let (bpe, text, out) = unsafe { (&*bpe, text.text("text")?, &mut *out) };
        let mut ids = out.take();
        let encoded = bpe.encode(text, &mut ids);
        out.put(ids);
        encoded
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_template_new(
    source: Str,
    secrets: *const Str,
    secret_count: usize,
    out: *mut *mut template::Template,
    error: *mut Owned<u8>,
) -> i32 {
    guard(error, || {
        // SAFETY: readable strings and a valid output, by the ABI's contract.
        let (source, secrets) =
            unsafe { (source.text("tokenizer.chat_template")?, slice(secrets, secret_count)) };
        let mut texts = Vec::with_capacity(secrets.len());
        for secret in secrets {
            // SAFETY: as above.
            texts.push(unsafe { secret.text("control token") }?);
        }
        let made = Box::new(template::Template::new(source, &texts)?);
        // SAFETY: as above.
        unsafe { *out = Box::into_raw(made) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_template_free(tmpl: *mut template::Template) {
    if !tmpl.is_null() {
        // SAFETY: made by pelton_rust_template_new and given back once.
        drop(unsafe { Box::from_raw(tmpl) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pelton_rust_template_render(
    tmpl: *const template::Template,
    request: *const template::Request,
    out: *mut Owned<u8>,
    marker: *mut u32,
    error: *mut Owned<u8>,
) -> i32 {
    guard(error, || {
        // SAFETY: live objects, readable strings and valid outputs, by the ABI's contract.
        unsafe {
            let rendered = (*tmpl).render(&*request)?;
            (*out).put(rendered.text.into_bytes());
            *marker = rendered.marker as u32;
        }
        Ok(())
    })
}
