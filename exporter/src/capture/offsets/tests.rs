use proptest::prelude::*;

use super::*;

/// A type section of one struct `task_struct` with an anonymous struct that holds `tgid`.
fn small_btf() -> Vec<u8> {
    let strings = b"\0task_struct\0comm\0tgid\0cred\0uid\0";
    let kind = |kind: u32, members: u32| (kind << 24) | members;
    let types: Vec<u32> = [
        vec![0, kind(KIND_INT, 0), 4, 32],
        // id 2: the anonymous struct
        vec![0, kind(KIND_STRUCT, 1), 8, 18, 1, 32],
        // id 3: task_struct { int comm; struct { tgid at 4 } at 16; }
        vec![1, kind(KIND_STRUCT, 2), 24, 13, 1, 64, 0, 2, 128],
        // id 4: cred { int uid at 8 } in the form with bit fields
        vec![23, kind(KIND_STRUCT, 1) | 1 << 31, 16, 28, 1, 64],
    ]
    .concat();
    let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
    let lengths = [24u32, 0, u32::try_from(types.len()).unwrap()];
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    for word in lengths {
        btf.extend(word.to_le_bytes());
    }
    btf.extend(u32::try_from(types.len()).unwrap().to_le_bytes());
    btf.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
    btf.extend(types);
    btf.extend(strings);
    btf
}

#[test]
fn members_are_found_directly_and_inside_an_anonymous_struct() {
    let (found, socket) = offsets(&small_btf());
    assert_eq!(found.comm, 8);
    assert_eq!(found.tgid, 20);
    assert_eq!(found.cred_uid, 8);
    assert_eq!(found.group_leader, 0, "what is missing is unknown");
    assert!(!found.is_complete() && !socket.is_complete());
}

#[test]
fn the_running_kernel_describes_its_tasks_and_sockets() {
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").expect("a kernel with BTF");
    let (found, socket) = offsets(&btf);
    // That they are the right ones shows in tests/capture.rs: owners agree with /proc.
    assert!(found.knows_executables(), "{found:?}");
    assert!(socket.is_complete(), "{socket:?}");
}

#[test]
fn an_empty_or_cut_file_gives_unknown_offsets() {
    let btf = small_btf();
    for length in 0..btf.len() {
        let found = offsets(&btf[..length]);
        assert_eq!(found, Default::default(), "cut to {length} bytes");
    }
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(at in 0usize..200, value: u8, more: u8) {
        let mut btf = small_btf();
        let length = btf.len();
        btf[at % length] = value;
        btf[(at * 7) % length] = more;
        offsets(&btf);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut btf = vec![0x9f, 0xeb, 1, 0];
        btf.extend(bytes);
        offsets(&btf);
    }
}
