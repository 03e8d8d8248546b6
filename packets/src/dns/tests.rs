use super::*;

/// A message with a question and records, as they stand on the wire.
fn message(question: &[u8], records: &[&[u8]]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut bytes = [&b"\x12\x34\x81\x80\0\x01"[..], &count, b"\0\0\0\0"].concat();
    bytes.extend_from_slice(question);
    bytes.extend(records.concat());
    bytes
}

const QUESTION: &[u8] = b"\x01a\x04test\0\0\x01\0\x01";
/// An address of the name that was asked for, for a minute.
const ADDRESS: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";

#[test]
fn a_name_that_jumps_in_a_circle_is_none() {
    assert_eq!(parse(&message(b"\xc0\x0c\0\x01\0\x01", &[])), None);
    assert_eq!(parse(&message(b"\x01a\xc0\x0c\0\x01\0\x01", &[])), None);
    let owner = b"\xc0\x18\0\x05\0\x01\0\0\0\x01\0\x02\xc0\x0c";
    let read = parse(&message(QUESTION, &[owner, ADDRESS])).unwrap();
    assert_eq!(read.answers, []);
    // The record's owner can be read, and so where the next one begins.
    let target = b"\xc0\x0c\0\x05\0\x01\0\0\0\x01\0\x02\xc0\x24";
    let read = parse(&message(QUESTION, &[target, ADDRESS])).unwrap();
    assert_eq!(read.answers[0].data, Data::Other(5));
    assert_eq!(read.addresses().len(), 1);
}

#[test]
fn a_message_that_breaks_off_gives_the_records_before() {
    let whole = message(QUESTION, &[ADDRESS, ADDRESS, ADDRESS]);
    assert_eq!(parse(&whole).unwrap().answers.len(), 3);
    for end in 0..whole.len() {
        let records = end.saturating_sub(24) / 16;
        let read = parse(&whole[..end]);
        assert_eq!(
            read.map(|it| it.answers.len()),
            (end >= 24).then_some(records)
        );
    }
}

#[test]
fn names_are_in_lower_case_and_odd_bytes_are_told_apart() {
    let read = parse(&message(b"\x05A.\\ \xff\x03Xyz\0\0\x10\0\x01", &[])).unwrap();
    assert_eq!(read.name, r"a\046\092\032\255.xyz");
    assert_eq!(type_name(read.kind), "TXT");
    assert_eq!(parse(&message(b"\0\0\x02\0\x01", &[])).unwrap().name, ".");
    assert_eq!(type_name(9999), "TYPE9999");
}

#[test]
fn a_name_may_be_as_long_as_the_wire_allows_and_no_longer() {
    let label = [&[63], [b'x'; 63].as_slice()].concat();
    let question = |last: usize| {
        let last = [&[u8::try_from(last).unwrap()], vec![b'y'; last].as_slice()].concat();
        [label.repeat(3), last, b"\0\0\x01\0\x01".to_vec()].concat()
    };
    let longest = parse(&message(&question(61), &[])).unwrap();
    assert_eq!(longest.name.len(), 253);
    assert_eq!(parse(&message(&question(62), &[])), None);
}

#[test]
fn addresses_of_another_name_than_the_one_asked_for_are_not_its() {
    let other = b"\x01b\x04test\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02";
    let read = parse(&message(QUESTION, &[other, ADDRESS])).unwrap();
    assert_eq!(read.answers.len(), 2);
    assert_eq!(read.addresses(), [([10, 0, 0, 1].into(), 60)]);
}

#[test]
fn aliases_in_a_circle_end() {
    let to_b = b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01b\xc0\x0e";
    let back = b"\xc0\x24\0\x05\0\x01\0\0\0\x09\0\x02\xc0\x0c";
    let read = parse(&message(QUESTION, &[to_b, back])).unwrap();
    let alias = |name: &str| Data::Alias(name.to_owned());
    assert_eq!(read.answers[0].data, alias("b.test"));
    assert_eq!(read.answers[1].data, alias("a.test"));
    assert_eq!(read.addresses(), []);
}

#[test]
fn records_past_the_limit_are_not_read() {
    let records = vec![ADDRESS; ANSWERS_MAX + 5];
    let read = parse(&message(QUESTION, &records)).unwrap();
    assert_eq!(read.answers.len(), ANSWERS_MAX);
}

#[test]
fn a_record_whose_data_do_not_fit_its_type_is_passed_over() {
    let short = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x03\x0a\0\0";
    let service = b"\xc0\x0c\0\x41\0\x01\0\0\0\x3c\0\x07\0\x01\0\0\x01\0\x09";
    let read = parse(&message(QUESTION, &[short, service, ADDRESS])).unwrap();
    let data: Vec<_> = read.answers.into_iter().map(|it| it.data).collect();
    let address = Data::Address([10, 0, 0, 1].into());
    assert_eq!(data, [Data::Other(1), Data::Other(65), address]);
}

#[test]
fn of_a_message_over_tcp_longer_than_the_limit_the_beginning_is_told_and_the_next_one_is_whole() {
    let long = [message(QUESTION, &[ADDRESS]), vec![0; 60_000]].concat();
    let short = message(QUESTION, &[ADDRESS, ADDRESS]);
    let framed = |it: &[u8]| [&u16::try_from(it.len()).unwrap().to_be_bytes(), it].concat();
    let bytes = [framed(&long), framed(&short)].concat();
    for size in [1, 1000, bytes.len()] {
        let mut stream = Stream::default();
        let read: Vec<_> = bytes.chunks(size).flat_map(|it| stream.take(it)).collect();
        let answers: Vec<_> = read.iter().map(|it| it.answers.len()).collect();
        assert_eq!(answers, [1, 2]);
    }
}
