//! Headers: never longer than what is left, and hostile values.

use std::time::Duration;

use proptest::prelude::*;
use reveille::Context;
use reveille::context::{format_grpc_timeout, format_seconds, parse_grpc_timeout, parse_seconds};

use crate::support::{manual, ms, secs};

#[test]
fn the_finest_unit_that_has_room_is_used() {
    let cases = [
        (Duration::ZERO, "0n"),
        (Duration::from_nanos(99_999_999), "99999999n"),
        (Duration::from_nanos(100_000_999), "100000u"),
        (secs(99), "99000000u"),
        (secs(100), "100000m"),
        (secs(100_000), "100000S"),
        (secs(100_000_000), "1666666M"),
        (secs(60 * 100_000_000), "1666666H"),
        (Duration::MAX, "99999999H"),
    ];
    for (duration, expected) in cases {
        assert_eq!(format_grpc_timeout(duration), expected, "{duration:?}");
    }
}

#[test]
fn every_unit_is_parsed() {
    for (value, expected) in [
        ("1H", secs(3600)),
        ("2M", secs(120)),
        ("3S", secs(3)),
        ("4m", ms(4)),
        ("5u", Duration::from_micros(5)),
        ("6n", Duration::from_nanos(6)),
        ("00000001S", secs(1)),
        ("99999999H", secs(99_999_999 * 3600)),
        ("0n", Duration::ZERO),
    ] {
        assert_eq!(parse_grpc_timeout(value), Ok(expected), "{value}");
    }
}

#[test]
fn hostile_values_are_refused_and_named() {
    for value in [
        "",
        "S",
        "1",
        "1s",
        "-1S",
        "+1S",
        " 1S",
        "1S ",
        "1 S",
        "1.5S",
        "1e3S",
        "123456789S",
        "1SS",
        "S1",
        "0x1S",
        "١S",
        "1µ",
        "1\u{301}",
        "\0S",
        "NaN",
        "inf",
        "18446744073709551616S",
    ] {
        let error = parse_grpc_timeout(value).unwrap_err().to_string();
        assert!(error.contains(&format!("{value:?}")), "{error}");
        assert!(error.contains("such as 1500m"), "{error}");
    }
    for value in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1e3",
        "NaN",
        "inf",
        "0x1",
        "1,5",
        "1.5.5",
        "1_000",
        "١",
        "1.٥",
        "18446744073709551616",
        "1.-5",
    ] {
        let error = parse_seconds(value).unwrap_err().to_string();
        assert!(error.contains(&format!("{value:?}")), "{error}");
        assert!(error.contains("such as 1.5"), "{error}");
    }
}

#[test]
fn the_error_of_an_endless_value_is_short_and_on_one_line() {
    let endless = "1\n".repeat(1 << 20);
    for error in [
        parse_grpc_timeout(&endless).unwrap_err().to_string(),
        parse_seconds(&endless).unwrap_err().to_string(),
    ] {
        assert!(error.len() < 300 && error.contains('…') && !error.contains('\n'));
    }
    let many = format!("0.{}", "9".repeat(1 << 20));
    assert_eq!(parse_seconds(&many), Ok(Duration::from_nanos(999_999_999)));
}

#[test]
fn a_deadline_crosses_the_wire() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    assert_eq!((root.to_grpc_timeout(), root.to_seconds()), (None, None));
    let context = root.with_timeout(ms(1500));
    assert_eq!(context.to_grpc_timeout().as_deref(), Some("1500000u"));
    assert_eq!(context.to_seconds().as_deref(), Some("1.5"));
    let received = root
        .with_grpc_timeout(&context.to_grpc_timeout().unwrap())
        .unwrap();
    assert_eq!(received.deadline(), context.deadline());
    let received = root.with_seconds(&context.to_seconds().unwrap()).unwrap();
    assert_eq!(received.deadline(), context.deadline());
    clock.advance(secs(2));
    assert_eq!(context.to_grpc_timeout().as_deref(), Some("0n"));
    assert_eq!(context.to_seconds().as_deref(), Some("0"));
    assert!(root.with_grpc_timeout("0n").unwrap().is_done());
    assert!(root.with_seconds("soon").is_err());
    // A header cannot give more time than the server does.
    let limited = root.with_timeout(ms(5));
    let greedy = limited.with_grpc_timeout("99999999H").unwrap();
    assert_eq!(greedy.deadline(), limited.deadline());
}

fn durations() -> impl Strategy<Value = Duration> {
    (0..65_u32, any::<u64>(), 0..1_000_000_000_u32)
        .prop_map(|(bits, secs, nanos)| Duration::new(secs.checked_shr(bits).unwrap_or(0), nanos))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_deadline_grows_and_little_is_lost(duration in durations()) {
        let header = format_grpc_timeout(duration);
        prop_assert!(header.len() <= 9);
        let parsed = parse_grpc_timeout(&header).unwrap();
        prop_assert!(parsed <= duration);
        // A value that does not fit into a finer unit is at least 100000 of its own.
        let limit = duration.min(secs(99_999_999 * 3600));
        prop_assert!(limit - parsed <= limit / 100_000);
        prop_assert_eq!(parse_seconds(&format_seconds(duration)), Ok(duration));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,20}", digits in "[0-9]{0,24}[.]?[0-9]{0,24}[HMSmun]?") {
        for value in [text.as_str(), digits.as_str()] {
            let _ = (parse_grpc_timeout(value), parse_seconds(value));
        }
    }
}
