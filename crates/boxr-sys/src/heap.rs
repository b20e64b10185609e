//! The heap of both programs.
//!
//! A start of boxr allocates a few tens of KiB, once, and ends. musl's allocator asks the kernel for most of it
//! page by page, 29 calls of a start; this one, dlmalloc, once for 64 KiB. It is one lock, which is free
//! where there is one thread; the threads of a pull allocate little. Another thread may hold it at a clone3(2), for ever
//! in the child: so boxr goes on in a child only where it had one thread.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Gives the pages at the heap's end that are free back to the kernel.
pub fn trim() {
    HEAP.trim();
}

struct Heap(Mutex<Dlmalloc>);

impl Heap {
    const fn new() -> Self {
        Self(Mutex::new(Dlmalloc::new()))
    }

    fn trim(&self) {
        // SAFETY: only the lock's holder touches the heap, and only free chunks are given back.
        unsafe { self.lock().trim(0) };
    }

    /// A panic while it was held cannot have left it half changed: dlmalloc does not panic.
    fn lock(&self) -> MutexGuard<'_, Dlmalloc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: dlmalloc gives memory of the size and alignment asked for, which nobody else has until it is freed;
// the lock makes one call at a time of it. Locking does not allocate.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same as dlmalloc's.
        unsafe { self.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above: `memory` came from here with this layout.
        unsafe { self.lock().free(memory, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.lock().realloc(memory, layout.size(), layout.align(), size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills `count` blocks with their own numbers, lets half of them grow, and looks at all of them.
    fn exercise(heap: &Heap, seed: usize, count: usize) {
        let layout = |index: usize| Layout::from_size_align(1 + index * 37 % 5000, 1 << (index % 8)).unwrap();
        let mut blocks = Vec::new();
        for index in 0..count {
            let layout = layout(index + seed);
            // SAFETY: the sizes are not zero.
            let memory = unsafe { heap.alloc(layout) };
            assert!(!memory.is_null() && (memory as usize).is_multiple_of(layout.align()));
            // SAFETY: the block is this long.
            unsafe { memory.write_bytes(index as u8, layout.size()) };
            blocks.push((memory, layout, index as u8));
        }
        for (memory, layout, _) in blocks.iter_mut().step_by(2) {
            let size = layout.size() * 3;
            // SAFETY: it came from this heap with this layout.
            *memory = unsafe { heap.realloc(*memory, *layout, size) };
            *layout = Layout::from_size_align(layout.size(), layout.align()).unwrap();
        }
        for (index, (memory, layout, byte)) in blocks.into_iter().enumerate() {
            // SAFETY: the first `layout.size()` bytes were written, and kept when it grew.
            let bytes = unsafe { std::slice::from_raw_parts(memory, layout.size()) };
            assert!(bytes.iter().all(|found| *found == byte));
            let size = if index % 2 == 0 { layout.size() * 3 } else { layout.size() };
            // SAFETY: it came from this heap with this size and alignment.
            unsafe { heap.dealloc(memory, Layout::from_size_align(size, layout.align()).unwrap()) };
        }
    }

    #[test]
    fn blocks_keep_what_is_written_while_many_threads_allocate() {
        let heap = Heap::new();
        std::thread::scope(|scope| {
            let heap = &heap;
            (0..4).for_each(|seed| drop(scope.spawn(move || exercise(heap, seed, 500))));
        });
        heap.trim();
        exercise(&heap, 9, 500);
    }

    #[test]
    fn zeroed_memory_is_zero_also_when_it_was_used_before() {
        let (heap, layout) = (Heap::new(), Layout::from_size_align(4000, 8).unwrap());
        for _ in 0..10 {
            // SAFETY: a size that is not zero; the block is this long, and freed with the same layout.
            unsafe {
                let memory = heap.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(memory, 4000).iter().all(|byte| *byte == 0));
                memory.write_bytes(7, 4000);
                heap.dealloc(memory, layout);
            }
        }
    }
}
