#![allow(clippy::unwrap_used, missing_docs)]
#[test]
fn one() {
    let hex = std::env::var("HEX").unwrap();
    let input: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let name = std::env::var("NAME").unwrap_or("gate".into());
    println!("{:?}", samenspraak_tests::fuzz::Target::named(&name).unwrap().run(&input));
}
