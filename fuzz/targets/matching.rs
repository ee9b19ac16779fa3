//! Any conditions and any request: the fast matcher finds those that the slow one finds.
//!
//! Each line is a condition, `METHODS PATH NAME=VALUE ...`, with `-` for what is not asked for; the first one is the request.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use weft_contract::{HeaderRegex, HttpMatch};
use weft_proxy::matching::{
    LONGEST, Subject,
    fuzz::{fast, slow},
};

/// Longer ones would only make each try slow.
const MOST: usize = 20;

fuzz_target!(|text: &str| {
    if text.len() > LONGEST {
        return;
    }
    let mut lines = text.lines();
    let Some(request) = lines.next() else { return };
    let mut words = request.split(' ');
    let Ok(method) = Method::from_bytes(words.next().unwrap_or_default().as_bytes()) else { return };
    let target = words.next().unwrap_or_default();
    let mut fields = HeaderMap::new();
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else { return };
        fields.append(name, value);
    }
    let list: Vec<HttpMatch> = lines.take(MOST).map(condition).collect();
    let subject = Subject::new(&method, target.as_bytes(), &fields);
    assert_eq!(fast(&list, &subject), slow(&list, &subject));
});

fn condition(line: &str) -> HttpMatch {
    let mut words = line.split(' ');
    let methods = words.next().filter(|word| *word != "-");
    let path = words.next().filter(|word| *word != "-");
    let headers = words.filter_map(|word| word.split_once('='));
    HttpMatch {
        path: path.map(str::to_owned),
        methods: methods.map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        headers: headers
            .map(|(name, regex)| HeaderRegex { name: name.to_ascii_lowercase(), regex: regex.to_owned() })
            .collect(),
    }
}
