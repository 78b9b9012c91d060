//! Little to remove in much, against a statement that the index leads.

use callsweep_core::store::Backend;
use callsweep_core::testkit::big::UP_TO_THE_OLD;
use callsweep_core::testkit::measure::thousands;

use crate::compare::{Way, table, take_turns};
use crate::data::Data;
use crate::float;
use crate::options::Options;

pub(crate) fn measure(options: &Options, backend: Backend) {
    let data = Data::load(backend, options.rows());
    let (all, some) = (thousands(float(data.rows)), thousands(float(data.removable(UP_TO_THE_OLD))));
    println!("### {backend}: {some} of {all} numbers to history\n");
    let ways = [Way::OneTransaction, Way::Sweep("")];
    println!("{}", table(&ways, &take_turns(&data, UP_TO_THE_OLD, &ways, options.runs())));
}
