//! Deadlines across the wire: the header `grpc-timeout`, and plain seconds.
//!
//! A deadline travels as the time that is left, since two machines share no clock. Both forms are
//! rounded down, so that a deadline never grows on its way.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::context::Context;

/// At most so many digits, by the protocol of gRPC.
const GRPC_DIGITS: usize = 8;

/// The units of `grpc-timeout` in nanoseconds, the finest first.
const GRPC_UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60 * 1_000_000_000),
    ('H', 3600 * 1_000_000_000),
];

impl Context {
    /// Returns the time that is left as the value of the header `grpc-timeout`, `None` if there is
    /// no deadline.
    ///
    /// That is at most eight digits and a unit, `H`, `M`, `S`, `m`, `u` or `n`. The finest unit
    /// that has room is used, and the value is rounded down. If the deadline has passed, it is
    /// `0n`. Every deadline fits: the form ends after 11 thousand years, a clock after 292.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::time::Duration;
    ///
    /// let context = Context::background();
    /// assert_eq!(context.to_grpc_timeout(), None);
    /// let context = context.with_timeout(Duration::from_secs(5));
    /// assert!(context.to_grpc_timeout().unwrap().ends_with('u')); // such as 4999998u
    /// ```
    #[must_use]
    pub fn to_grpc_timeout(&self) -> Option<String> {
        self.remaining().map(format_grpc_timeout)
    }

    /// Returns the time that is left in plain seconds, such as `1.5`, `None` if there is no
    /// deadline.
    ///
    /// It has nine digits after the point at most, and `0` if the deadline has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    /// use std::time::Duration;
    ///
    /// let context = Context::background().with_timeout(Duration::ZERO);
    /// assert_eq!(context.to_seconds().as_deref(), Some("0"));
    /// ```
    #[must_use]
    pub fn to_seconds(&self) -> Option<String> {
        self.remaining().map(format_seconds)
    }

    /// Returns a child of this context with the timeout that the header `grpc-timeout` states, from
    /// now on.
    ///
    /// # Errors
    ///
    /// If `value` is not of the form that [`parse_grpc_timeout`] accepts.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let server = Context::background();
    /// let request = server.with_grpc_timeout("250m")?;
    /// assert!(request.remaining().unwrap().as_millis() <= 250);
    /// assert!(server.with_grpc_timeout("soon").is_err());
    /// # Ok::<_, reveille::context::TimeoutHeaderError>(())
    /// ```
    #[track_caller]
    pub fn with_grpc_timeout(&self, value: &str) -> Result<Self, TimeoutHeaderError> {
        Ok(self.with_timeout(parse_grpc_timeout(value)?))
    }

    /// Returns a child of this context with a timeout in plain seconds, such as `1.5`, from now on.
    ///
    /// # Errors
    ///
    /// If `value` is not of the form that [`parse_seconds`] accepts.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::Context;
    ///
    /// let request = Context::background().with_seconds("1.5")?;
    /// assert!(request.remaining().unwrap().as_millis() <= 1500);
    /// # Ok::<_, reveille::context::TimeoutHeaderError>(())
    /// ```
    #[track_caller]
    pub fn with_seconds(&self, value: &str) -> Result<Self, TimeoutHeaderError> {
        Ok(self.with_timeout(parse_seconds(value)?))
    }
}

/// Formats a duration as the value of the header `grpc-timeout`, rounded down.
///
/// It takes the finest unit for which eight digits are enough. A duration of more than 99,999,999
/// hours is formatted as that many.
///
/// # Examples
///
/// ```
/// use reveille::context::format_grpc_timeout;
/// use std::time::Duration;
///
/// assert_eq!(format_grpc_timeout(Duration::from_millis(1)), "1000000n");
/// assert_eq!(format_grpc_timeout(Duration::from_millis(123_456_789)), "123456S");
/// assert_eq!(format_grpc_timeout(Duration::ZERO), "0n");
/// ```
#[must_use]
pub fn format_grpc_timeout(duration: Duration) -> String {
    const END: u128 = 10_u128.pow(GRPC_DIGITS as u32);
    let nanos = duration.as_nanos();
    let mut fitting = GRPC_UNITS.iter().map(|(unit, each)| (nanos / each, unit));
    match fitting.find(|(count, _)| *count < END) {
        Some((count, unit)) => format!("{count}{unit}"),
        None => format!("{}H", END - 1),
    }
}

/// Parses the value of the header `grpc-timeout`: one to eight ASCII digits and a unit, `H`, `M`,
/// `S`, `m`, `u` or `n`.
///
/// # Errors
///
/// If the value has any other form: a sign, a space, a point, more digits, another unit. Zero is
/// accepted, and means that the deadline has passed.
///
/// # Examples
///
/// ```
/// use reveille::context::parse_grpc_timeout;
/// use std::time::Duration;
///
/// assert_eq!(parse_grpc_timeout("1500m")?, Duration::from_millis(1500));
/// let error = parse_grpc_timeout("1.5S").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid grpc-timeout \"1.5S\": send one to eight digits and one of the units \
///      H, M, S, m, u, n, such as 1500m"
/// );
/// # Ok::<_, reveille::context::TimeoutHeaderError>(())
/// ```
pub fn parse_grpc_timeout(value: &str) -> Result<Duration, TimeoutHeaderError> {
    let parse = || {
        let unit = value.chars().next_back()?;
        let (_, nanos) = GRPC_UNITS.iter().find(|(letter, _)| *letter == unit)?;
        let digits = value.strip_suffix(unit)?;
        if digits.len() > GRPC_DIGITS || !is_digits(digits) {
            return None;
        }
        let count: u64 = digits.parse().ok()?;
        // Without loss: the units from seconds up are whole seconds.
        match u64::try_from(nanos / 1_000_000_000).ok()? {
            0 => Some(Duration::from_nanos(count * u64::try_from(*nanos).ok()?)),
            seconds => Some(Duration::from_secs(count * seconds)),
        }
    };
    parse().ok_or_else(|| TimeoutHeaderError::new(value, Form::Grpc))
}

/// Formats a duration in plain seconds, exactly: with as many digits after the point as are needed.
///
/// # Examples
///
/// ```
/// use reveille::context::format_seconds;
/// use std::time::Duration;
///
/// assert_eq!(format_seconds(Duration::from_millis(1500)), "1.5");
/// assert_eq!(format_seconds(Duration::from_secs(2)), "2");
/// ```
#[must_use]
pub fn format_seconds(duration: Duration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Parses a duration in plain seconds: ASCII digits, and after a point as many more as you like.
///
/// What is finer than a nanosecond is cut off, so the result is never longer than what was sent.
///
/// # Errors
///
/// If the value has any other form: a sign, a space, an exponent, a point without digits on both
/// sides, or more seconds than fit into 64 bits.
///
/// # Examples
///
/// ```
/// use reveille::context::parse_seconds;
/// use std::time::Duration;
///
/// assert_eq!(parse_seconds("1.5")?, Duration::from_millis(1500));
/// assert_eq!(parse_seconds("0.0000000019")?, Duration::from_nanos(1));
/// assert!(parse_seconds("1e3").is_err());
/// # Ok::<_, reveille::context::TimeoutHeaderError>(())
/// ```
pub fn parse_seconds(value: &str) -> Result<Duration, TimeoutHeaderError> {
    let parse = || {
        let (seconds, fraction) = value.split_once('.').unwrap_or((value, "0"));
        if !is_digits(seconds) || !is_digits(fraction) {
            return None;
        }
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        Some(Duration::new(seconds.parse().ok()?, nanos))
    };
    parse().ok_or_else(|| TimeoutHeaderError::new(value, Form::Seconds))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The error of a header that states no valid timeout. Its message names the value and the form.
///
/// # Examples
///
/// ```
/// let error = reveille::context::parse_seconds("-1").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid timeout \"-1\": send seconds as digits, with a fraction or without, such as 1.5"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutHeaderError {
    /// The beginning of the value.
    value: String,
    is_cut: bool,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Grpc,
    Seconds,
}

impl TimeoutHeaderError {
    fn new(value: &str, form: Form) -> Self {
        // A peer may send a megabyte, and the error may go into a log.
        const SHOWN: usize = 40;
        Self {
            value: value.chars().take(SHOWN).collect(),
            is_cut: value.chars().nth(SHOWN).is_some(),
            form,
        }
    }
}

impl fmt::Display for TimeoutHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, form) = match self.form {
            Form::Grpc => (
                "grpc-timeout",
                "one to eight digits and one of the units H, M, S, m, u, n, such as 1500m",
            ),
            Form::Seconds => (
                "timeout",
                "seconds as digits, with a fraction or without, such as 1.5",
            ),
        };
        let cut = if self.is_cut { "…" } else { "" };
        // `{:?}` escapes what could end a line of a log.
        write!(f, "invalid {name} {:?}{cut}: send {form}", self.value)
    }
}

impl Error for TimeoutHeaderError {}
