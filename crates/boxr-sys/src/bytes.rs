//! Copying and comparing memory, for programs that are linked to musl.
//!
//! A start of boxr copies and compares some thousands of short blocks. musl's memcpy(3) begins each with an
//! instruction for long ones (`rep movs`), which takes 50 ns before the first byte; its memcmp(3) looks at one byte at a
//! time. These move up to 128 bytes without a loop. `boxr-build` puts them in the places of musl's.

use std::arch::naked_asm;
use std::ffi::{c_int, c_void};

/// memcpy(3) and memmove(3): what is read is held in registers before the first byte is written, or the direction is
/// one that does not overtake itself, so that the blocks may overlap.
///
/// # Safety
/// `from` can be read and `to` written for `count` bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn boxr_memmove(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 4f",
        "cmp rdx, 32",
        "ja 2f",
        // 16 to 32: the first and the last 16, which may overlap. So below, with more.
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "2:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "cmp rdx, 64",
        "ja 3f",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        "3:",
        "movups xmm4, [rsi + 32]",
        "movups xmm5, [rsi + 48]",
        "movups xmm6, [rsi + rdx - 64]",
        "movups xmm7, [rsi + rdx - 48]",
        "cmp rdx, 128",
        "ja 8f",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm4",
        "movups [rdi + 48], xmm5",
        "movups [rdi + rdx - 64], xmm6",
        "movups [rdi + rdx - 48], xmm7",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        // Below 16.
        "4:",
        "cmp edx, 8",
        "jb 5f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "5:",
        "cmp edx, 4",
        "jb 6f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        // 3: first, middle and last byte; 2: the last is the middle; 1: all are one.
        "6:",
        "test edx, edx",
        "jz 7f",
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "shr rdx",
        "movzx r9d, byte ptr [rsi + rdx]",
        "mov [rdi + rdx], r9b",
        "adc rdx, rdx",
        "mov [rdi], cl",
        "mov [rdi + rdx - 1], r8b",
        "7:",
        "ret",
        // More than 128: forwards, unless what is to be read lies where would be written first.
        "8:",
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jb 10f",
        "lea r8, [rdi + rdx - 64]",
        // Long ones, which overlap in no way: now the instruction pays.
        "cmp rdx, 2048",
        "jb 9f",
        "mov r9, rsi",
        "sub r9, rdi",
        "cmp r9, rdx",
        "jb 9f",
        "mov rcx, rdx",
        "shr rcx, 3",
        "rep movsq",
        "jmp 12f",
        "9:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm4, [rsi + 32]",
        "movups xmm5, [rsi + 48]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm4",
        "movups [rdi + 48], xmm5",
        "add rsi, 64",
        "add rdi, 64",
        "cmp rdi, r8",
        "jb 9b",
        "12:",
        "movups [r8], xmm6",
        "movups [r8 + 16], xmm7",
        "movups [r8 + 32], xmm2",
        "movups [r8 + 48], xmm3",
        "ret",
        // Backwards; the first 64 bytes are held.
        "10:",
        "movups xmm2, [rsi + rdx - 64]",
        "movups xmm3, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "movups [rdi + rdx - 64], xmm2",
        "movups [rdi + rdx - 48], xmm3",
        "movups [rdi + rdx - 32], xmm6",
        "movups [rdi + rdx - 16], xmm7",
        "sub rdx, 64",
        "cmp rdx, 64",
        "ja 10b",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm4",
        "movups [rdi + 48], xmm5",
        "ret",
    )
}

/// memcmp(3) and bcmp(3), eight bytes at a time.
///
/// # Safety
/// Both can be read for `count` bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn boxr_memcmp(one: *const c_void, other: *const c_void, count: usize) -> c_int {
    naked_asm!(
        "sub rdx, 8",
        "jb 4f",
        "xor ecx, ecx",
        "2:",
        "mov rax, [rdi + rcx]",
        "mov r8, [rsi + rcx]",
        "cmp rax, r8",
        "jne 3f",
        "cmp rcx, rdx",
        "je 6f",
        // The last eight may begin among those that were equal.
        "add rcx, 8",
        "cmp rcx, rdx",
        "cmova rcx, rdx",
        "jmp 2b",
        // The first byte that differs is the highest that does when they are turned round.
        "3:",
        "bswap rax",
        "bswap r8",
        "cmp rax, r8",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        // Below 8.
        "4:",
        "add rdx, 8",
        "jz 6f",
        "5:",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jne 7f",
        "inc rdi",
        "inc rsi",
        "dec rdx",
        "jnz 5b",
        "6:",
        "xor eax, eax",
        "7:",
        "ret",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around each place where the way changes.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..300).chain([511, 512, 2000]).chain(2040..2060).chain([4096, 5003])
    }

    #[test]
    fn blocks_are_moved_whole_wherever_they_overlap() {
        let pattern: Vec<u8> = (0..16_000_u32).map(|index| (index * 7 + index / 251) as u8).collect();
        for length in lengths() {
            let near = [0, 1, 3, 8, 15, 16, 17, 33, 63, 64, 65, 100, 127, 128, 129, 250];
            for distance in near.into_iter().chain([length, length + 1]) {
                for (from, to) in [(300, 300 + distance), (300 + distance, 300)] {
                    let (mut ours, mut expected) = (pattern.clone(), pattern.clone());
                    expected.copy_within(from..from + length, to);
                    let start = ours.as_mut_ptr();
                    // SAFETY: both blocks lie within `ours`.
                    let given = unsafe { boxr_memmove(start.add(to).cast(), start.add(from).cast(), length) };
                    assert_eq!(given, ours[to..].as_mut_ptr().cast());
                    assert!(ours == expected, "{length} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn the_first_byte_that_differs_decides() {
        // SAFETY: both are this long.
        let compare = |one: &[u8], other: &[u8]| unsafe {
            assert_eq!(one.len(), other.len());
            boxr_memcmp(one.as_ptr().cast(), other.as_ptr().cast(), one.len()).signum()
        };
        for length in 0..70 {
            let one = vec![0x80; length + 3];
            for offset in 0..3 {
                let one = &one[offset..offset + length];
                assert_eq!(compare(one, one), 0);
                for place in 0..length {
                    let mut other = one.to_vec();
                    other[place] = 0x7f;
                    // What follows says the contrary.
                    other[place + 1..].fill(0xff);
                    assert_eq!((compare(one, &other), compare(&other, one)), (1, -1), "{length} {place}");
                }
            }
        }
    }
}
