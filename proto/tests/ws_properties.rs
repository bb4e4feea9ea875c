//! Properties of the WebSocket core: what is written reads back however it is cut, and no input
//! whatsoever makes it panic or say different things for different cuts.

use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{Connection, Event, Limits, Role, mask};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    message_len: 70_000,
    fragments: 20,
};

#[derive(Debug, Clone)]
struct Said {
    opcode: Opcode,
    /// One part per fragment; text is cut between any two bytes.
    parts: Vec<Vec<u8>>,
    /// Pings after the fragments.
    pings: Vec<Vec<u8>>,
}

fn said() -> impl Strategy<Value = Said> {
    let len = prop_oneof![0..200_usize, 100..150_usize, 65_530..65_540_usize];
    let text = (any::<char>(), len.clone()).prop_map(|(fill, len)| {
        (
            Opcode::Text,
            String::from_iter(std::iter::repeat_n(fill, len / fill.len_utf8())).into_bytes(),
        )
    });
    let binary = (any::<u8>(), len).prop_map(|(fill, len)| (Opcode::Binary, vec![fill; len]));
    let pings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=125), 0..3);
    (
        prop_oneof![text, binary],
        prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        pings,
    )
        .prop_map(|((opcode, payload), cuts, pings)| {
            let mut cuts: Vec<usize> = cuts
                .iter()
                .map(|cut| cut.index(payload.len() + 1))
                .collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut start = 0;
            for cut in cuts {
                parts.push(payload[start..cut].to_vec());
                start = cut;
            }
            parts.push(payload[start..].to_vec());
            Said {
                opcode,
                parts,
                pings,
            }
        })
}

fn write(said: &[Said], mask: Option<[u8; 4]>) -> (Vec<u8>, Vec<String>) {
    let (mut out, mut want) = (Vec::new(), Vec::new());
    for message in said {
        for (index, part) in message.parts.iter().enumerate() {
            let opcode = if index == 0 {
                message.opcode
            } else {
                Opcode::Continuation
            };
            let fin = index + 1 == message.parts.len();
            frame::write_frame(&mut out, opcode, fin, part, mask);
            if !fin && let Some(ping) = message.pings.get(index) {
                frame::write_frame(&mut out, Opcode::Ping, true, ping, mask);
                want.push(format!("{:?}", Event::Ping(ping)));
            }
        }
        let payload = message.parts.concat();
        want.push(match message.opcode {
            Opcode::Text => format!("{:?}", Event::Text(String::from_utf8_lossy(&payload))),
            _ => format!("{:?}", Event::Binary(payload.into())),
        });
    }
    (out, want)
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, role: Role) -> Vec<String> {
    let mut connection = Connection::new(role);
    let mut saw = Vec::new();
    for piece in pieces {
        connection.feed(piece);
        loop {
            match connection.next_event(&LIMITS) {
                Ok(Some(event)) => saw.push(format!("{event:?}")),
                Ok(None) => break,
                Err(error) => saw.push(format!("{error:?}")),
            }
        }
    }
    saw
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn what_is_written_reads_back_however_it_is_cut(
        said in prop::collection::vec(said(), 1..4),
        key in any::<[u8; 4]>(),
        masked in any::<bool>(),
        piece in 1..40_000_usize,
    ) {
        let role = if masked { Role::Server } else { Role::Client };
        let (bytes, want) = write(&said, masked.then_some(key));
        prop_assert!(read([&bytes[..]], role) == want, "whole");
        prop_assert!(read(bytes.chunks(piece), role) == want, "pieces of {piece}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_say_the_same_however_they_are_cut(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0x90_u8, 0..4_u8], 0..200),
        piece in 1..20_usize,
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let whole = read([&bytes[..]], role);
        prop_assert_eq!(&whole, &read(bytes.chunks(piece), role));
        prop_assert_eq!(&whole, &read(bytes.chunks(1), role));
    }

    #[test]
    fn masking_agrees_with_its_definition(
        key in any::<[u8; 4]>(),
        data in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let want: Vec<u8> = data.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let mut masked = data.clone();
        let (first, second) = masked.split_at_mut(cut.index(data.len() + 1));
        let next = mask::apply(key, first);
        let _ = mask::apply(next, second);
        prop_assert_eq!(masked, want);
    }
}
