//! What the server itself reads of an X.509 certificate: its names and the end of its validity.
//! rustls decides whether to trust it.

/// The object identifiers of a common name and of the alternative names of the subject, in DER.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Tags of DER.
mod tag {
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const IDENTIFIER: u8 = 0x06;
    pub(super) const UTF8: u8 = 0x0c;
    pub(super) const PRINTABLE: u8 = 0x13;
    pub(super) const IA5: u8 = 0x16;
    pub(super) const SHORT_TIME: u8 = 0x17;
    pub(super) const TIME: u8 = 0x18;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const DNS_NAME: u8 = 0x82;
    pub(super) const URI: u8 = 0x86;
    pub(super) const VERSION: u8 = 0xa0;
    pub(super) const EXTENSIONS: u8 = 0xa3;
}

/// The values of a DER structure, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its tag; `None` at the end, or if it is not DER.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        let (length, rest) = if length < 0x80 {
            (usize::from(length), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let add = |sum: usize, byte: &u8| sum.checked_mul(256)?.checked_add((*byte).into());
            (bytes.iter().try_fold(0, add)?, rest)
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which has this tag.
    fn take(&mut self, expected: u8) -> Option<&'a [u8]> {
        let (tag, value) = self.next()?;
        (tag == expected).then_some(value)
    }
}

/// The parts of a certificate.
struct Parts<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    extensions: Option<&'a [u8]>,
}

fn parts(certificate: &[u8]) -> Option<Parts<'_>> {
    let signed = Der(certificate).take(tag::SEQUENCE)?;
    let mut fields = Der(Der(signed).take(tag::SEQUENCE)?);
    // The version may be missing. The serial number, the algorithm and the issuer follow.
    if fields.next()?.0 == tag::VERSION {
        fields.next()?;
    }
    fields.take(tag::SEQUENCE)?;
    fields.take(tag::SEQUENCE)?;
    let validity = fields.take(tag::SEQUENCE)?;
    let subject = fields.take(tag::SEQUENCE)?;
    let mut extensions = None;
    while let Some((tag, value)) = fields.next() {
        if tag == tag::EXTENSIONS {
            extensions = Der(value).take(tag::SEQUENCE);
        }
    }
    Some(Parts { validity, subject, extensions })
}

/// The common names of the subject and its alternative names that are DNS names or URIs.
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    let Some(Parts { subject, extensions, .. }) = parts(certificate) else { return Vec::new() };
    let mut names = Vec::new();
    let mut add = |text: &[u8]| names.extend(String::from_utf8(text.to_vec()).ok());
    let mut sets = Der(subject);
    while let Some(set) = sets.take(tag::SET) {
        let mut attributes = Der(set);
        while let Some(attribute) = attributes.take(tag::SEQUENCE) {
            let mut attribute = Der(attribute);
            let is_name = attribute.take(tag::IDENTIFIER) == Some(COMMON_NAME);
            if let Some((tag::UTF8 | tag::PRINTABLE | tag::IA5, text)) = attribute.next()
                && is_name
            {
                add(text);
            }
        }
    }
    let mut extensions = Der(extensions.unwrap_or_default());
    while let Some(extension) = extensions.take(tag::SEQUENCE) {
        let mut extension = Der(extension);
        if extension.take(tag::IDENTIFIER) != Some(ALTERNATIVE_NAMES) {
            continue;
        }
        // Whether the extension is critical may come before its value.
        while let Some((tag, value)) = extension.next() {
            let list = if tag == tag::OCTETS { Der(value).take(tag::SEQUENCE) } else { None };
            let mut list = Der(list.unwrap_or_default());
            while let Some((tag, name)) = list.next() {
                if matches!(tag, tag::DNS_NAME | tag::URI) {
                    add(name);
                }
            }
        }
    }
    names
}

/// The last second of the validity, as the digits of `YYYYMMDDhhmmss` in UTC.
pub(super) fn last_second(certificate: &[u8]) -> Option<String> {
    let mut validity = Der(parts(certificate)?.validity);
    validity.next()?;
    let (tag, time) = validity.next()?;
    let time = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    match tag {
        // RFC 5280: two digits of a year from 1950 to 2049.
        tag::SHORT_TIME if time >= "5" => Some(format!("19{time}")),
        tag::SHORT_TIME => Some(format!("20{time}")),
        tag::TIME => Some(time.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(years: [i32; 2]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["cart.shop".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "Shop");
        params.distinguished_name.push(DnType::CommonName, "Cart Ä");
        params.subject_alt_names.push(SanType::URI("spiffe://shop/cart".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        let [from, to] = years;
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 2, 3);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_common_name_dns_names_and_uris() {
        let names = names(&certificate([2020, 2030]));
        assert_eq!(names, ["Cart Ä", "cart.shop", "spiffe://shop/cart"]);
    }

    #[test]
    fn last_second_has_a_year_of_four_digits() {
        for (year, digits) in [(1999, "19990203000000"), (2049, "20490203000000")] {
            assert_eq!(last_second(&certificate([1980, year])).as_deref(), Some(digits));
        }
        assert_eq!(last_second(&certificate([1980, 2050])).as_deref(), Some("20500203000000"));
    }

    /// A peer sends the certificate.
    #[test]
    fn any_bytes_can_be_read() {
        let certificate = certificate([2020, 2030]);
        for end in 0..certificate.len() {
            names(&certificate[..end]);
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = certificate.clone();
                changed[end] = value;
                names(&changed);
                last_second(&changed);
            }
        }
    }
}
