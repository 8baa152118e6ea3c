//! TLS by the server itself: phones that trust its authority sync, others don't, and a renewal needs no restart.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{Serve, Wijk, arg, run, until};

/// An authority with a certificate for this machine, in files.
fn authority(folder: &Path, name: &str) -> String {
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    fs::write(folder.join(format!("{name}-ca.pem")), own.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
    fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    arg(&folder.join(format!("{name}-ca.pem"))).to_owned()
}

fn put_in_place(wijk: &Wijk, name: &str) {
    for (from, to) in [(format!("{name}.pem"), "live.pem"), (format!("{name}-key.pem"), "live-key.pem")] {
        fs::copy(wijk.path(&from), wijk.path(to)).unwrap();
    }
}

fn serve(wijk: &Wijk) -> Serve {
    let (certificate, key) = (wijk.path("live.pem"), wijk.path("live-key.pem"));
    let public = format!("https://localhost:{}", wijk.port);
    wijk.serve_with(&[
        ("SAMENSPRAAK_TLS_CERTIFICATE", arg(&certificate)),
        ("SAMENSPRAAK_TLS_KEY", arg(&key)),
        ("SAMENSPRAAK_PUBLIC_ADDRESS", &public),
    ])
}

#[test]
fn phones_that_trust_the_authority_sync_over_tls_and_a_renewal_needs_no_restart() {
    let wijk = Wijk::new();
    let (first, second) = (authority(&wijk.path(""), "first"), authority(&wijk.path(""), "second"));
    put_in_place(&wijk, "first");
    let server = serve(&wijk);
    assert!(server.begun.iter().any(|line| line.contains("board page https://localhost:")), "{:?}", server.begun);
    // Cards follow the public address; they are made over the plain line of this machine.
    let card = wijk.cards("resident", 1).remove(0);
    assert!(card.starts_with(&format!("https://localhost:{}/", wijk.port)), "{card}");
    wijk.phone("phone", &["join", &card]).ok();
    wijk.phone("phone", &["write", "--title", "Stoep", "--text", "De stoep ligt los."]).ok();
    let refused = wijk.phone("phone", &["sync", "--ca", &second]);
    assert!(refused.refused(4).contains("no server answers"), "{refused:?}");
    assert!(wijk.phone("phone", &["sync", "--ca", &first]).ok().contains("aangekomen"));

    put_in_place(&wijk, "second");
    server.signal("HUP");
    until("the new certificate is in use", || {
        (wijk.phone("phone", &["sync", "--ca", &second]).code == Some(0)).then_some(())
    });
    wijk.phone("phone", &["sync", "--ca", &first]).refused(4);
    // Seen without being told, too.
    put_in_place(&wijk, "first");
    until("the change is seen", || (wijk.phone("phone", &["sync", "--ca", &first]).code == Some(0)).then_some(()));
    // A key that doesn't fit changes nothing but the log.
    fs::copy(wijk.path("second-key.pem"), wijk.path("live-key.pem")).unwrap();
    server.signal("HUP");
    until("it is said", || server.log().contains("does not belong to the certificate").then_some(()));
    wijk.phone("phone", &["sync", "--ca", &first]).ok();
    let plain = format!("http://localhost:{}", wijk.port);
    assert!(
        run(&["phone", "--data", arg(&wijk.path("other")), "join", "ABCD-EFGH-JKMN-PQRS", "--server", &plain]).code
            != Some(0)
    );
    assert!(server.stop().0.success());
}

#[test]
fn a_certificate_that_can_not_be_used_is_named_and_nothing_is_started() {
    let wijk = Wijk::new();
    authority(&wijk.path(""), "first");
    authority(&wijk.path(""), "second");
    let serve = |certificate: &str, key: &str| {
        let (certificate, key) = (wijk.path(certificate), wijk.path(key));
        let settings = [format!("tls.certificate={}", arg(&certificate)), format!("tls.key={}", arg(&key))];
        let folder = wijk.folder();
        let args = ["serve", arg(&folder), "--listen", "127.0.0.1:0", "--set", &settings[0], "--set", &settings[1]];
        run(&args).refused(2).to_owned()
    };
    assert!(serve("first.pem", "second-key.pem").contains("does not belong to the certificate"));
    assert!(serve("nowhere.pem", "first-key.pem").contains("nowhere.pem"));
    assert!(serve("first-key.pem", "first.pem").contains("holds no certificate"));
    assert!(!wijk.folder().join("serve.json").exists());
    let nowhere = wijk.phone("phone", &["list", "--ca", arg(&wijk.path("nergens.pem"))]);
    assert!(nowhere.refused(2).contains("nergens.pem"), "{nowhere:?}");
}
