#![no_main]
//! Model files: refused, or a model that gives risks in their range and can be written and read again. (That it is the
//! same then holds for models of ours, whose numbers have nine digits: JSON numbers of any length are read to the last bit
//! but one.)

use beaconwatch_learning::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Model::read(bytes) else {
        return;
    };
    let columns = model.feature_set().features().len();
    for value in [0.0, 1.0, -1e100, 1e100] {
        let risk = model
            .assess(&vec![value; columns])
            .expect("a row of the set");
        for it in [risk.risk, risk.probability, risk.anomaly] {
            assert!((0.0..=1.0).contains(&it));
        }
    }
    let text = model.to_json().expect("a model can be written");
    let again = Model::read(text.as_bytes()).expect("and read");
    assert_eq!(again.feature_set(), model.feature_set());
});
