//! Moving a fifth of the table to history, compared with a single transaction by hand.

use callsweep_core::store::Backend;
use callsweep_testkit::big::UP_TO_A_QUARTER;
use callsweep_testkit::measure::thousands;

use crate::compare::{Way, compare};
use crate::data::Data;
use crate::float;
use crate::options::Options;

pub(crate) fn measure(options: &Options, data: &Data) {
    let backend = data.backend;
    let (all, some) = (thousands(float(data.rows)), thousands(float(data.removable(UP_TO_A_QUARTER))));
    println!("### {backend}: {some} of {all} numbers to history\n");
    let ways: &[Way<'_>] = match backend {
        // SQLite has one writer: lanes have no effect.
        Backend::Sqlite => &[Way::OneTransaction, Way::Sweep(""), Way::Sweep("--chunk-size 50000")],
        Backend::Postgres | Backend::Mysql => {
            &[Way::OneTransaction, Way::TwoTransactions, Way::Sweep(""), Way::Sweep("--lanes 2")]
        }
    };
    compare(data, UP_TO_A_QUARTER, ways, options.runs());
}
