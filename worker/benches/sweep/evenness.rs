//! Whether chunks become slower during a run: the last tenth of the chunks compared with the first.

use callsweep_core::store::AnyConnection;
use callsweep_testkit::big::UP_TO_A_QUARTER;
use callsweep_testkit::measure::{Table, median, spread};
use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamp};

use crate::data::{Data, check};
use crate::options::Options;
use crate::{float, ours};

/// Chunks in a tenth of a run: enough for a mean.
const IN_A_TENTH: i64 = 10;

pub(crate) fn measure(options: &Options, data: &Data) {
    let backend = data.backend;
    let removable = data.removable(UP_TO_A_QUARTER);
    let chunk = (removable / IN_A_TENTH / 10).max(1);
    let flags = format!("--chunk-size {chunk}");
    println!("### {backend}: time per number, last tenth of the chunks vs. first, `{flags}`\n");
    let mut tenths: [Vec<f64>; 3] = Default::default();
    for _ in 0..options.runs() {
        let db = data.fresh();
        ours::sweep(&db, UP_TO_A_QUARTER, &flags, removable);
        check(&db, data.rows, removable);
        let times = times(&mut db.connect());
        let tenth = times.len() / 10;
        let [first, last] = [&times[..tenth], &times[times.len() - tenth..]].map(mean);
        for (seen, value) in tenths.iter_mut().zip([first, last, last / first]) {
            seen.push(value);
        }
    }
    let mut table = Table::new(["first tenth", "last tenth", "ratio"]);
    let [first, last, ratio] = tenths;
    table.row([format!("{:.1} µs", median(&first)), format!("{:.1} µs", median(&last)), spread(&ratio)]);
    println!("{table}");
}

/// Microseconds and numbers of each chunk except the last: from its `archived_at` to that of the next chunk.
fn times(conn: &mut AnyConnection) -> Vec<(f64, f64)> {
    #[derive(QueryableByName)]
    struct Chunk {
        #[diesel(sql_type = Timestamp)]
        archived_at: NaiveDateTime,
        #[diesel(sql_type = BigInt)]
        numbers: i64,
    }
    let sql =
        "SELECT archived_at, count(*) AS numbers FROM call_data_history GROUP BY archived_at ORDER BY archived_at";
    let chunks: Vec<Chunk> = diesel::sql_query(sql).load(conn).expect("reads the chunks");
    let micros = |pair: &[Chunk]| (pair[1].archived_at - pair[0].archived_at).num_microseconds().expect("microseconds");
    chunks.windows(2).map(|pair| (float(micros(pair)), float(pair[0].numbers))).collect()
}

fn mean(chunks: &[(f64, f64)]) -> f64 {
    let (micros, numbers) = chunks.iter().fold((0.0, 0.0), |sum, chunk| (sum.0 + chunk.0, sum.1 + chunk.1));
    micros / numbers
}
