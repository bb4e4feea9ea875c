//! Filters against tags, and filters that are none.

use super::*;
use crate::centrifuge::Protocol;

fn parse(source: &str) -> Result<Filter, Error> {
    TagsFilter {
        protocol: Protocol::Json,
        source: source.as_bytes(),
    }
    .parse()
}

fn tags(tags: &[(&str, &str)]) -> Vec<Tag> {
    tags.iter()
        .map(|(name, value)| (Box::from(*name), Box::from(*value)))
        .collect()
}

#[test]
fn a_leaf_compares_one_tag() {
    let there = tags(&[("other", "1"), ("k", "20")]);
    let missing = tags(&[("other", "1")]);
    for (comparison, with, without) in [
        (r#""cmp":"eq","val":"20""#, true, false),
        (r#""cmp":"eq","val":"2""#, false, false),
        (r#""cmp":"neq","val":"20""#, false, true),
        (r#""cmp":"neq","val":"x""#, true, true),
        (r#""cmp":"in","vals":["1","20"]"#, true, false),
        (r#""cmp":"in","vals":["1"]"#, false, false),
        (r#""cmp":"nin","vals":["1","20"]"#, false, true),
        (r#""cmp":"nin","vals":["1"]"#, true, true),
        (r#""cmp":"ex""#, true, false),
        (r#""cmp":"nex""#, false, true),
        (r#""cmp":"sw","val":"2""#, true, false),
        (r#""cmp":"sw","val":"0""#, false, false),
        (r#""cmp":"ew","val":"0""#, true, false),
        (r#""cmp":"ct","val":"20""#, true, false),
        (r#""cmp":"ct","val":"1""#, false, false),
        (r#""cmp":"lt","val":"20.1""#, true, false),
        (r#""cmp":"lt","val":"20""#, false, false),
        (r#""cmp":"lte","val":"20.0""#, true, false),
        (r#""cmp":"gt","val":"3""#, true, false),
        (r#""cmp":"gt","val":"100""#, false, false),
        (r#""cmp":"gte","val":"2e1""#, true, false),
    ] {
        let filter = parse(&format!(r#"{{"key":"k",{comparison}}}"#)).unwrap();
        assert_eq!(filter.matches(&there), with, "{comparison}");
        assert_eq!(filter.matches(&missing), without, "{comparison}");
    }
}

#[test]
fn a_tag_that_is_not_a_number_compares_with_none() {
    let words = tags(&[("k", "many")]);
    for comparison in ["lt", "lte", "gt", "gte"] {
        let filter = parse(&format!(r#"{{"key":"k","cmp":"{comparison}","val":"1"}}"#)).unwrap();
        assert!(!filter.matches(&words), "{comparison}");
    }
}

#[test]
fn nodes_combine() {
    let yes = r#"{"key":"k","cmp":"ex"}"#;
    let no = r#"{"key":"k","cmp":"nex"}"#;
    let there = tags(&[("k", "")]);
    for (op, nodes, want) in [
        ("and", vec![yes, yes], true),
        ("and", vec![yes, no], false),
        ("or", vec![no, no], false),
        ("or", vec![no, yes], true),
        ("not", vec![no], true),
        ("not", vec![yes], false),
    ] {
        let source = format!(r#"{{"op":"{op}","nodes":[{}]}}"#, nodes.join(","));
        assert_eq!(parse(&source).unwrap().matches(&there), want, "{source}");
    }
}

#[test]
fn a_filter_that_is_none_says_why() {
    for (source, want) in [
        ("", "a node of the filter cannot be read"),
        ("5", "a node of the filter cannot be read"),
        ("[]", "a node of the filter cannot be read"),
        ("{", "a node of the filter cannot be read"),
        (r#"{"op":5}"#, "a node of the filter cannot be read"),
        (
            r#"{"op":"or","nodes":[5]}"#,
            "a node of the filter cannot be read",
        ),
        (
            r#"{"op":"or","nodes":{}}"#,
            "a node of the filter cannot be read",
        ),
        (
            r#"{"op":"xor","nodes":[{"key":"k","cmp":"ex"}]}"#,
            "unknown operator",
        ),
        (
            r#"{"op":"AND","nodes":[{"key":"k","cmp":"ex"}]}"#,
            "unknown operator",
        ),
        (r#"{"op":"and"}"#, "an operator without nodes"),
        (r#"{"op":"and","nodes":null}"#, "an operator without nodes"),
        (
            r#"{"op":"not","nodes":[{"key":"k","cmp":"ex"},{"key":"k","cmp":"ex"}]}"#,
            "not takes one node",
        ),
        ("{}", "a comparison without a key"),
        (r#"{"cmp":"ex"}"#, "a comparison without a key"),
        (r#"{"key":"k"}"#, "unknown comparison"),
        (
            r#"{"key":"k","cmp":"like","val":"x"}"#,
            "unknown comparison",
        ),
        (
            r#"{"key":"k","cmp":"in","val":"x"}"#,
            "a comparison without values",
        ),
        (
            r#"{"key":"k","cmp":"lt"}"#,
            "the value to compare with is not a number",
        ),
        (
            r#"{"key":"k","cmp":"gte","val":"x"}"#,
            "the value to compare with is not a number",
        ),
    ] {
        let error = parse(source).unwrap_err();
        assert_eq!(error.to_string(), want, "{source}");
        assert_eq!(error.code(), ErrorCode::BadRequest);
    }
}

#[test]
fn a_filter_has_bounds() {
    let leaf = r#"{"key":"k","cmp":"ex"}"#;
    let wide = |count| format!(r#"{{"op":"or","nodes":[{}]}}"#, vec![leaf; count].join(","));
    assert!(parse(&wide(NODES - 1)).is_ok());
    assert_eq!(
        parse(&wide(NODES)).unwrap_err().to_string(),
        "more than 128 nodes in a filter"
    );
    assert!(parse(&wide(NODES + 1)).is_err());

    let half = wide(NODES / 2);
    let two = format!(r#"{{"op":"and","nodes":[{half},{half}]}}"#);
    assert!(matches!(parse(&two), Err(Error::Nodes)));

    let deep = |depth: usize| {
        let open = r#"{"op":"not","nodes":["#.repeat(depth - 1);
        format!("{open}{leaf}{}", "]}".repeat(depth - 1))
    };
    assert!(parse(&deep(DEPTH)).is_ok());
    assert!(matches!(parse(&deep(DEPTH + 1)), Err(Error::Depth)));
    assert!(parse(&deep(10_000)).is_err());

    let many = |count| {
        let values = vec![r#""v""#; count].join(",");
        format!(r#"{{"key":"k","cmp":"in","vals":[{values}]}}"#)
    };
    assert!(parse(&many(VALUES)).is_ok());
    assert!(parse(&many(VALUES + 1)).is_err());
    let two = format!(r#"{{"op":"and","nodes":[{},{}]}}"#, many(VALUES), many(1));
    assert!(matches!(parse(&two), Err(Error::Values)));
}

#[test]
fn protobuf_says_the_same() {
    // {op: "not", nodes: [{key: "k", cmp: "in", vals: ["a", "b"]}]}
    let source = b"\x0a\x03not\x32\x0d\x12\x01k\x1a\x02in\x2a\x01a\x2a\x01b";
    let filter = TagsFilter {
        protocol: Protocol::Protobuf,
        source,
    };
    let json = r#"{"op":"not","nodes":[{"key":"k","cmp":"in","vals":["a","b"]}]}"#;
    assert_eq!(filter.parse().unwrap(), parse(json).unwrap());
    for cut in 1..source.len() {
        let filter = TagsFilter {
            protocol: Protocol::Protobuf,
            source: &source[..cut],
        };
        assert!(filter.parse().is_err(), "{cut}");
    }
}
