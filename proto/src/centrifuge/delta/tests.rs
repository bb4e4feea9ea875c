//! Deltas of the format, and what is none.

use proptest::prelude::*;

use super::*;

fn created(source: &[u8], target: &[u8], cut: Cut) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    let shorter = create(source, target, cut, &mut out);
    let delta = out.strip_prefix(b"before").unwrap().to_vec();
    assert_eq!(shorter, !delta.is_empty());
    shorter.then_some(delta)
}

fn counter(count: u32) -> String {
    format!(r#"{{"counter":{count},"payload":"{}"}}"#, "a".repeat(500))
}

#[test]
fn the_delta_of_the_format_s_example_is_the_same() {
    let delta = created(
        counter(1).as_bytes(),
        counter(2).as_bytes(),
        Cut::Characters,
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(delta).unwrap(),
        "8E\nC:{\"counter\":282@C,RRRX7;"
    );
}

#[test]
fn a_delta_that_is_not_shorter_is_none() {
    let text = counter(1);
    for (source, target) in [
        ("", ""),
        ("", "short"),
        ("short", ""),
        ("", text.as_str()),
        (
            "something else altogether, of some length",
            "and its replacement, of some length",
        ),
        ("01234567", "01234567"),
    ] {
        assert_eq!(
            created(source.as_bytes(), target.as_bytes(), Cut::Anywhere),
            None
        );
    }
}

#[test]
fn both_ends_may_change_at_once() {
    let middle = "the middle stays as it is, word for word, ".repeat(4);
    let (source, target) = (format!("old {middle} old"), format!("new one {middle} new"));
    let delta = created(source.as_bytes(), target.as_bytes(), Cut::Characters).unwrap();
    assert!(delta.len() < 40, "{}", delta.len());
    assert_eq!(
        apply(source.as_bytes(), &delta, 1000).unwrap(),
        target.as_bytes()
    );
}

#[test]
fn literals_of_text_are_whole_characters() {
    // Ж is D0 96 and З is D0 97: what is the same ends within a character.
    let shared = "0123456789abcdef0123456789abcdef";
    let source = format!("{shared}Ж{shared}");
    let target = format!("{shared}З{shared}");
    let delta = created(source.as_bytes(), target.as_bytes(), Cut::Characters).unwrap();
    assert!(str::from_utf8(&delta).is_ok());
    assert_eq!(
        apply(source.as_bytes(), &delta, 1000).unwrap(),
        target.as_bytes()
    );
    let delta = created(source.as_bytes(), target.as_bytes(), Cut::Anywhere).unwrap();
    assert!(str::from_utf8(&delta).is_err(), "or the example is none");
    // Ж and ѐ end with 96 and 90; т is D1 82, В is D0 92, ђ is D1 92: the same ends.
    let source = format!("{shared}В{shared}");
    let target = format!("{shared}ђ{shared}");
    let delta = created(source.as_bytes(), target.as_bytes(), Cut::Characters).unwrap();
    assert!(str::from_utf8(&delta).is_ok());
    assert_eq!(
        apply(source.as_bytes(), &delta, 1000).unwrap(),
        target.as_bytes()
    );
}

#[test]
fn a_source_that_repeats_itself_takes_no_longer() {
    let source = vec![b'a'; 64 * 1024];
    let mut target = vec![b'a'; 64 * 1024];
    for at in (0..target.len()).step_by(40) {
        target[at] = b'b';
    }
    let delta = created(&source, &target, Cut::Anywhere).unwrap();
    assert_eq!(apply(&source, &delta, target.len()).unwrap(), target);
}

#[test]
fn what_is_not_a_delta_is_refused() {
    let source = b"0123456789abcdef";
    for (delta, want) in [
        (&b""[..], Error::Malformed),
        (b"\n", Error::Malformed),
        (b"4", Error::Malformed),
        (b"4\n", Error::Malformed),
        (b"4 4@0,", Error::Malformed),
        (b"4\n4@0,", Error::Malformed),
        (b"4\n4@,", Error::Malformed),
        (b"4\n4@0;", Error::Malformed),
        (b"4\n@0,", Error::Malformed),
        (b"4\n4!0,", Error::Malformed),
        (b"4\n4:abc", Error::Malformed),
        (b"4\n5@0,", Error::Malformed),
        (b"4\n3@0,0;", Error::Malformed),
        (b"4\n4@0,mC8p3", Error::Malformed),
        (b"4\n4@0,mC8p3; ", Error::Malformed),
        (b"4\n4@0,0;", Error::Checksum),
        (b"4\n4@D,0;", Error::Source),
        (b"4\n4@H,0;", Error::Source),
        (b"4\n4@3~~~~~,0;", Error::Source),
        (
            b"3~~~~~\n",
            Error::Length {
                len: 0xffff_ffff,
                limit: 100,
            },
        ),
        (b"4000000\n", Error::Malformed),
        (
            b"1a\n",
            Error::Length {
                len: 101,
                limit: 100,
            },
        ),
    ] {
        let text = String::from_utf8_lossy(delta);
        assert_eq!(apply(source, delta, 100), Err(want), "{text:?}");
    }
}

#[test]
fn a_delta_that_is_cut_anywhere_is_refused() {
    let (source, target) = (counter(1), counter(2));
    let delta = created(source.as_bytes(), target.as_bytes(), Cut::Anywhere).unwrap();
    for cut in 0..delta.len() {
        assert!(
            apply(source.as_bytes(), &delta[..cut], 1000).is_err(),
            "{cut}"
        );
    }
    assert_eq!(
        apply(target.as_bytes(), &delta, 1000),
        Ok(target.clone().into_bytes())
    );
    assert_eq!(apply(b"", &delta, 1000), Err(Error::Source));
    let other = vec![b'x'; source.len()];
    assert_eq!(apply(&other, &delta, 1000), Err(Error::Checksum));
}

/// A text of few words, so that two of them have much in common.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("the quick brown fox ".to_owned()),
            Just("прыгает через ленивую собаку ".to_owned()),
            Just("😀😁😂".to_owned()),
            ".{0,3}",
        ],
        0..20,
    )
    .prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn what_is_created_applies(source in text(), target in text()) {
        for cut in [Cut::Anywhere, Cut::Characters] {
            if let Some(delta) = created(source.as_bytes(), target.as_bytes(), cut) {
                prop_assert!(delta.len() < target.len());
                prop_assert!(cut == Cut::Anywhere || str::from_utf8(&delta).is_ok());
                let applied = apply(source.as_bytes(), &delta, target.len());
                prop_assert_eq!(applied.unwrap(), target.as_bytes());
            }
        }
    }

    #[test]
    fn bytes_that_are_not_text_apply_too(
        source in proptest::collection::vec(0x7eu8..0x84, 0..400),
        from in 0usize..200, to in 200usize..400, other in any::<[u8; 5]>(),
    ) {
        let piece = source.get(from..to.min(source.len())).unwrap_or_default();
        let target = [&other[..], piece, &other[..], piece].concat();
        for cut in [Cut::Anywhere, Cut::Characters] {
            if let Some(delta) = created(&source, &target, cut) {
                prop_assert_eq!(apply(&source, &delta, target.len()).unwrap(), target.clone());
            }
        }
    }

    #[test]
    fn nothing_that_is_applied_panics(source in any::<Vec<u8>>(), delta in "[0-4]{1,2}\n[0-4@,:;a]{0,30}") {
        if let Ok(target) = apply(&source, delta.as_bytes(), 100) {
            prop_assert!(target.len() <= 100);
        }
    }

    #[test]
    fn numbers_are_read_as_they_are_written(value in any::<u32>()) {
        let mut out = Vec::new();
        number::write(value.into(), &mut out);
        let mut rest = &*out;
        prop_assert_eq!(number::take(&mut rest), Some(value));
        prop_assert!(rest.is_empty());
    }
}
