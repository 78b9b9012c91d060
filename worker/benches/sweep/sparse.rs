//! Few numbers to remove from a large table, compared with a single transaction that uses the index.

use callsweep_testkit::big::UP_TO_THE_OLD;
use callsweep_testkit::measure::thousands;

use crate::compare::{Way, compare};
use crate::data::Data;
use crate::float;
use crate::options::Options;

pub(crate) fn measure(options: &Options, data: &Data) {
    let backend = data.backend;
    let (all, some) = (thousands(float(data.rows)), thousands(float(data.removable(UP_TO_THE_OLD))));
    println!("### {backend}: {some} of {all} numbers to history\n");
    let ways = [Way::OneTransaction, Way::Sweep("")];
    compare(data, UP_TO_THE_OLD, &ways, options.runs());
}
