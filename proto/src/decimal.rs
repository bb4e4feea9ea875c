//! Numbers as text, written where the text goes.

/// Appends a number in decimal, without leading zeros: `0` to `18446744073709551615`.
pub fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_what_is_there_as_it_is_displayed() {
        let ends = (0..20).flat_map(|power| {
            let ten = 10_u64.pow(power);
            [ten - 1, ten, ten + 1]
        });
        for number in ends.chain([1_203, u64::MAX]) {
            let mut out = b"n=".to_vec();
            write_decimal(number, &mut out);
            assert_eq!(out, format!("n={number}").as_bytes());
        }
    }
}
