use super::*;

#[test]
fn what_is_no_request_is_told_by_its_first_line() {
    for bytes in [
        &b"SSH-2.0-x\r\n"[..],
        b"\x16\x03\x01",
        b"220 mail\r\n",
        b"EHLO example.test\r\n",
        b"get / HTTP/1.1\r\n",
        b"GET / SPDY/3\r\n",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n",
        b" / HTTP/1.1\r\n",
    ] {
        assert_eq!(request(bytes), Verdict::Nothing, "{bytes:?}");
        assert_eq!(request_so_far(bytes), None);
    }
}

#[test]
fn a_head_that_breaks_off_needs_more_and_tells_what_its_whole_lines_say() {
    let head = b"POST /a b HTTP/1.0\nhost:\tA.Example:80\nUser-Ag";
    assert_eq!(request(head), Verdict::NeedsMore);
    let request = request_so_far(head).unwrap();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/a")
    );
    assert_eq!(request.host.as_deref(), Some("a.example"));
    assert_eq!(request.user_agent, None);
    assert_eq!(super::request(b"PO"), Verdict::NeedsMore);
}

#[test]
fn a_whole_head_is_found_whatever_it_leaves_out_and_broken_lines_are_passed_over() {
    let Verdict::Found(found) =
        request(b"GET / HTTP/1.1\r\nno colon\r\nHost: b@d\r\n: x\r\n\r\nbody")
    else {
        panic!("no request");
    };
    assert_eq!((found.host, found.user_agent), (None, None));
}

#[test]
fn the_first_of_two_headers_stays_and_long_ones_are_cut() {
    let agent = "x".repeat(5000);
    let head = format!("GET / HTTP/1.1\r\nUser-Agent: {agent}\r\nHost: one\r\nHost: two\r\n\r\n");
    let Verdict::Found(found) = request(head.as_bytes()) else {
        panic!("no request");
    };
    assert_eq!(found.host.as_deref(), Some("one"));
    assert_eq!(found.user_agent.map(|it| it.len()), Some(1024));
}
