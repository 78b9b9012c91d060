//! W3C trace context: the header `traceparent`, by which a request is one and the same in the logs of all systems.

use actix_web::http::header::HeaderMap;

/// A `traceparent` that is sane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceParent {
    /// Of the whole trace.
    pub(super) trace_id: u128,
    /// Of the client's span.
    pub(super) span_id: u64,
    /// Whether the client records it.
    pub(super) sampled: bool,
}

impl TraceParent {
    /// Reads the header. What is invalid, or there twice, is ignored, as the recommendation demands.
    #[must_use]
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all("traceparent");
        let value = given.next().filter(|_| given.next().is_none())?;
        Self::parse(value.to_str().ok()?)
    }

    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`; a later version may have more behind it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex(parts.next()?, 2)?;
        let (trace_id, span_id) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        let is_valid = version != 0xff && (version > 0 || parts.next().is_none()) && trace_id != 0 && span_id != 0;
        is_valid.then_some(Self { trace_id, span_id: u64::try_from(span_id).ok()?, sampled: flags & 1 == 1 })
    }

    /// The id of the trace, as logs show it.
    #[must_use]
    pub(super) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// Lower-case hexadecimal digits, exactly so many.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == digits && text.bytes().all(is_hex)).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_valid_is_taken_and_the_rest_ignored() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for valid in ["00-{}-00f067aa0ba902b7-01", "00-{}-00f067aa0ba902b7-00", "01-{}-00f067aa0ba902b7-01-more"] {
            let parsed = TraceParent::parse(&valid.replace("{}", trace)).unwrap();
            assert_eq!((parsed.trace_id().as_str(), parsed.span_id), (trace, 0x00f0_67aa_0ba9_02b7));
            assert_eq!(parsed.sampled, valid.contains("-01"), "{valid}");
        }
        for invalid in [
            "",
            "00",
            "00-{}-00f067aa0ba902b7",
            "00-{}-00f067aa0ba902b7-01-more",
            "00-{}-00f067aa0ba902b7-01-",
            "ff-{}-00f067aa0ba902b7-01",
            "0-{}-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-{}-0000000000000000-01",
            "00-{}-00F067AA0BA902B7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-{}0-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(&invalid.replace("{}", trace)), None, "{invalid}");
        }
    }
}
